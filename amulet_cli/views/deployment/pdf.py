"""A page as tagged PDF, by WeasyPrint."""

from importlib.util import find_spec

from amulet_cli.base.errors import UsageError

_INSTALL = "pip install 'amulet-cli[pdf]'; or --html, and print that page in a browser"


def check_pdf(name: str) -> None:
    """Before anything slow.

    Raises:
        UsageError: WeasyPrint is not installed, or the file is the standard output.
    """
    if name == "-":
        raise UsageError("`--pdf` must be the name of a file, got -", meant=["--html -"])
    if find_spec("weasyprint") is None:
        raise UsageError("`--pdf` needs WeasyPrint, which is not installed", try_=_INSTALL)


def as_pdf(page: str) -> bytes:
    """PDF/UA-1: tagged for readers of screens, with language, title and headings of the page. It loads nothing.

    Raises:
        UsageError: a library of the system that WeasyPrint draws with is missing.
    """
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except OSError as error:  # Pango, which no wheel brings along
        raise UsageError(
            f"`--pdf` needs Pango, a library of the system: {str(error).splitlines()[0]}",
            try_="https://doc.courtbouillon.org/weasyprint/stable/first_steps.html; or --html, and print that page",
        ) from error
    made = HTML(string=page, url_fetcher=URLFetcher(allowed_protocols=())).write_pdf(
        pdf_variant="pdf/ua-1", pdf_tags=True
    )
    return bytes(made or b"")
