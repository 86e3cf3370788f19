"""A server on loopback that answers as a test says: for plugins that speak to one which is not at hand."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import frozen


@frozen
class Request:
    """What a client asked. `target`: path and query. `body`: parsed JSON, None if there was none."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any


Answer = Callable[[Request], tuple[int, Any]]
"""Request → status, and the body: bytes as they are, None for an empty one, anything else as JSON."""


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The address of a server that answers by `answer`, until it is left. Requests come in threads of their own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(data) if data else None
            status, told = answer(Request(self.command, self.path, dict(self.headers), body))
            raw = b"" if told is None else told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_DELETE = do_GET = do_PATCH = do_POST = do_PUT = answer  # noqa: N815  # as the base class calls them

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
