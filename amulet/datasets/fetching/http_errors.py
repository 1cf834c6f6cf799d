"""The headers of a server's response, and download errors in words for people."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import Response


class DownloadError(Exception):
    """Why an address did not give the file; one clause for people."""

    def __init__(self, reason: str, *, again: bool = False, connected: bool = True, wait: float | None = None) -> None:
        super().__init__(reason)
        self.again, self.connected, self.wait = again, connected, wait


def validator_of(response: "Response") -> str | None:
    """The value for If-Range: a strong ETag, or else the date."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def content_range(response: "Response") -> tuple[int | None, int | None]:
    """First byte and total length of `Content-Range: bytes 7-9/10`."""
    span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    first = span.partition("-")[0]
    return (int(first) if first.isdigit() else None), (int(total) if total.isdigit() else None)


def asked_to_wait(response: "Response") -> float | None:
    """The seconds of `Retry-After`, which may also be a date."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    retry: Any = Retry()
    try:
        return retry.get_retry_after(response.raw)
    except InvalidHeader:
        return None


@contextmanager
def explained(connect: float, silence: float) -> Iterator[None]:
    """An error of the transport as a `DownloadError`; the text has the time limits in seconds."""
    import requests
    from urllib3 import exceptions as urllib3

    try:
        yield
    except requests.exceptions.SSLError as error:
        passing = "certificate" not in str(error).lower()
        raise DownloadError(f"no safe connection ({_cause(error)})", again=passing, connected=False) from error
    except requests.exceptions.ConnectTimeout as error:
        raise DownloadError(f"no connection within {connect:g} s", again=True, connected=False) from error
    except (requests.exceptions.ReadTimeout, urllib3.ReadTimeoutError) as error:
        raise DownloadError(f"silent for {silence:g} s", again=True) from error
    except requests.exceptions.ConnectionError as error:
        raise DownloadError(f"no connection ({_cause(error)})", again=True, connected=False) from error
    except (urllib3.HTTPError, requests.exceptions.ChunkedEncodingError) as error:
        raise DownloadError(f"the connection was cut ({_cause(error)})", again=True) from error
    except requests.exceptions.RequestException as error:
        raise DownloadError(f"cannot be asked ({_cause(error)})") from error


def _cause(error: BaseException) -> str:
    """The operating system's error text, if there is one among the causes."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, OSError) and at.strerror:
            return at.strerror
        inner = [part for part in at.args if isinstance(part, BaseException)]
        inner += [part for part in (getattr(at, "reason", None),) if isinstance(part, BaseException)]
        at = at.__cause__ or at.__context__ or next(iter(inner), None)
    return str(error) or type(error).__name__
