"""A real HTTP server of files in memory, with the faults that servers have."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Server", "serving"]


@dataclass
class Server:
    """What is served, how, and what was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    address: str = ""
    ranges: bool = True
    tag: str | None = '"1"'
    cut: list[int] = field(default_factory=list)
    """Bytes after which the next answers' connections are closed."""
    statuses: list[int] = field(default_factory=list)
    """Statuses of the next answers, before files are served again."""
    redirect: str | None = None
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and Range of each request."""


class _Handler(BaseHTTPRequestHandler):
    served: Server

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        served = self.served
        served.asked.append((self.command, self.path, self.headers.get("Range")))
        content = served.files.get(self.path.lstrip("/"))
        status = served.statuses.pop(0) if served.statuses else 200
        if served.redirect:
            self.head(302, Location=served.redirect)
        elif content is None or status != 200:
            self.send_error(status if status != 200 else 404)
        else:
            self.send(content, self.first_byte(), body)

    def first_byte(self) -> int | None:
        """Return where to begin; None: all is sent."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        same = self.headers.get("If-Range") in (None, self.served.tag)
        return int(asked[1]) if asked and self.served.ranges and same else None

    def send(self, content: bytes, start: int | None, body: bool) -> None:
        size, rest = len(content), content[start or 0 :]
        headers = {"Content-Length": str(len(rest))} | ({"ETag": self.served.tag} if self.served.tag else {})
        if start is None:
            self.head(200, **headers)
        elif start < size:
            self.head(206, **headers, **{"Content-Range": f"bytes {start}-{size - 1}/{size}"})
        else:
            self.head(416, **{"Content-Range": f"bytes */{size}", "Content-Length": "0"})
        if body:
            self.wfile.write(rest[: self.served.cut.pop(0)] if self.served.cut else rest)

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(**files: bytes) -> Iterator[Server]:
    """Serve files on a free port until the block ends."""
    server = Server(dict(files))
    handler = type("Handler", (_Handler,), {"served": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        server.address = f"http://127.0.0.1:{listener.server_port}/"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()
