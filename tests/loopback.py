"""A package index on the loopback interface that can be told to misbehave."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Index:
    """Files by name, what was asked for, and how many bytes of the next answers are sent before the line drops."""

    files: dict[str, bytes]
    url: str = ""
    ranges: list[str | None] = field(default_factory=list)
    drops: list[int] = field(default_factory=list)
    refuses: bool = False  # whoever asks


@contextmanager
def index_serving(package: str, files: dict[str, bytes]) -> Iterator[Index]:
    """Serve ``files`` as the releases of one package."""
    index = Index(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if index.refuses:
                self.send_error(401)
            elif self.path == f"/simple/{package}/":
                links = "".join(f'<a href="/files/{name}">{name}</a>' for name in index.files)
                self._answer(200, f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")
            elif self.path.startswith("/files/"):
                self._file(index.files[self.path.removeprefix("/files/")])
            else:
                self.send_error(404)

        def _file(self, content: bytes) -> None:
            byte_range = self.headers.get("Range")
            index.ranges.append(byte_range)
            start = int(byte_range.removeprefix("bytes=").rstrip("-")) if byte_range else 0
            if start >= len(content):
                self.send_error(416)
            else:
                self._answer(206 if byte_range else 200, content[start:], "application/octet-stream")

        def _answer(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            drop = index.drops.pop(0) if index.drops and self.path.startswith("/files/") else None
            self.wfile.write(body[:drop])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
