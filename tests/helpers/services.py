"""A model behind HTTP on the loopback address."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np


@contextmanager
def answering(
    probabilities: Callable[[np.ndarray], Any], *, fails: int = 0
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its URL, and what it was asked and answered; the first `fails` answers are 503."""
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["records"]
            status = 503 if len(requests) < fails else 200
            requests.append({"rows": rows, "status": status, "headers": dict(self.headers)})
            table = rows if isinstance(rows[0], dict) else np.array(rows, dtype=np.float32)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"probabilities": np.asarray(probabilities(table)).tolist()}).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
