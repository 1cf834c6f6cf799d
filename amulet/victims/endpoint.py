"""A model behind HTTP that answers JSON with JSON."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amulet.core.errors import DataError, SettingError, in_range
from amulet.victims.views import Columns, View

_AGAIN = (408, 429, 500, 502, 503, 504)


class Endpoint:
    """Posts ``{"records": [...]}`` and reads ``{"probabilities": [[...]]}`` or ``{"labels": [...]}``.

    A record is a list of numbers, or an object with the names of the raw columns where `view` makes a frame.

    Args:
        url: http:// or https://.
        num_classes: of the data; a label is one of 0 to `num_classes` - 1.
        view: what the service takes of the records.
        batch_size: records of one request.
        per_second: requests of one second at most; None: as fast as it answers.
        retries: how often a request is sent again after a time-out, a lost connection, 408, 429 or 5xx, after waits of
            `wait` seconds that double.
        budget: records that it may be asked about in all; None: no limit.
        headers: of each request, such as ``{"Authorization": "Bearer ..."}``; never kept in a result.
    """

    def __init__(
        self,
        url: str,
        num_classes: int,
        *,
        view: View | None = None,
        batch_size: int = 256,
        per_second: float | None = None,
        retries: int = 3,
        wait: float = 0.5,
        timeout: float = 30.0,
        budget: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingError(f"`url` must begin with http:// or https://, got {url}")
        in_range("batch_size", batch_size, 1)
        if per_second is not None:
            in_range("per_second", per_second, above=0)
        in_range("retries", retries, 0)
        in_range("wait", wait, 0)
        in_range("timeout", timeout, above=0)
        if budget is not None:
            in_range("budget", budget, 1)
        self.url, self.num_classes, self.view = url, num_classes, view or Columns()
        self.batch_size, self.per_second, self.retries, self.wait = batch_size, per_second, retries, wait
        self.timeout, self.budget, self.headers = timeout, budget, dict(headers or {})
        self.queries = 0
        """Records that it was asked about."""
        self._next = 0.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes), float64; a label is a probability of 1.

        Raises:
            DataError: the budget is spent, the service cannot be reached or answers in another form.
        """
        if self.budget is not None and self.queries + len(x) > self.budget:
            raise DataError(
                f"{self.url}: {self.queries + len(x):,} records would be asked about, and `budget` is {self.budget:,}; "
                "raise it, or take fewer records or an attack with fewer queries"
            )
        rows = self._rows(self.view(x))
        parts = [self._ask(rows[start : start + self.batch_size]) for start in range(0, len(rows), self.batch_size)]
        return np.concatenate(parts) if parts else np.zeros((0, self.num_classes))

    def _rows(self, given: Any) -> list[Any]:
        if isinstance(given, np.ndarray):
            return given.tolist()
        return json.loads(given.to_json(orient="records", double_precision=15))

    def _ask(self, rows: Sequence[Any]) -> np.ndarray:
        answer = self._post(json.dumps({"records": rows}).encode())
        self.queries += len(rows)
        try:
            if "probabilities" in answer:
                found = np.asarray(answer["probabilities"], dtype=np.float64)
            else:
                found = np.eye(self.num_classes)[np.asarray(answer["labels"], dtype=np.int64)]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f'{self.url} must answer {{"probabilities": [[...]]}} or {{"labels": [...]}}') from error
        if found.shape != (len(rows), self.num_classes):
            raise DataError(f"{self.url} must answer {(len(rows), self.num_classes)} numbers, got {found.shape}")
        return found

    def _post(self, body: bytes) -> dict[str, Any]:
        for attempt in range(self.retries + 1):
            self._pause()
            request = urllib.request.Request(  # the scheme is checked
                self.url, body, {"Content-Type": "application/json", **self.headers}
            )
            try:
                with urllib.request.urlopen(request, timeout=self.timeout) as response:
                    answer = json.loads(response.read())
            except json.JSONDecodeError as error:
                raise DataError(f"{self.url} does not answer JSON") from error
            except (OSError, http.client.HTTPException) as error:
                code = error.code if isinstance(error, urllib.error.HTTPError) else None
                if (code is not None and code not in _AGAIN) or attempt == self.retries:
                    raise DataError(f"{self.url} cannot be asked: {error}") from error
                time.sleep(self.wait * 2**attempt)
                continue
            if not isinstance(answer, dict):
                raise DataError(f"{self.url} must answer a JSON object, got {type(answer).__name__}")
            return answer
        raise AssertionError  # the last attempt has returned or raised

    def _pause(self) -> None:
        if self.per_second is not None:
            now = time.monotonic()
            time.sleep(max(0.0, self._next - now))
            self._next = max(now, self._next) + 1 / self.per_second
