"""Serve the built site as a good web host would, compressed: python tools/serve.py [PORT].

Standard library only; the port is 8000 by default.
"""

import gzip
import http.server
import io
import shutil
import sys
from functools import lru_cache, partial
from http import HTTPStatus
from pathlib import Path

HTML = Path(__file__).resolve().parent.parent / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
COMPRESSED = (".html", ".css", ".js", ".json", ".svg", ".csv", ".txt", ".py", ".ipynb", ".xml")


@lru_cache(maxsize=512)
def _compressed(path: Path, modified: int) -> bytes:
    """The file's bytes; ``modified`` in the key drops an old version."""
    return gzip.compress(path.read_bytes(), 9, mtime=0)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Static files with gzip and a life in the browser's cache."""

    protocol_version = "HTTP/1.1"

    def send_head(self) -> io.BytesIO | None:
        path = Path(self.translate_path(self.path))
        if path.is_dir() and (path / "index.html").exists() and self.path.split("?")[0].endswith("/"):
            path = path / "index.html"
        if path.suffix not in COMPRESSED or not path.is_file() or "gzip" not in self.headers.get("Accept-Encoding", ""):
            return super().send_head()
        body = _compressed(path, path.stat().st_mtime_ns)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{self.guess_type(str(path))}; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)

    def end_headers(self) -> None:
        self.send_header("Vary", "Accept-Encoding")
        self.send_header("Cache-Control", "max-age=600")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: one line per file is no help."""


def browser() -> str | None:
    """The program of a browser that can look at the site; None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def server(port: int, html: Path = HTML) -> http.server.ThreadingHTTPServer:
    """A server of a folder on this machine alone; port 0 takes a free one."""
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(html)))


def main() -> None:
    """Serve until interrupted."""
    if not (HTML / "index.html").exists():
        sys.exit("there is no site yet: make book")
    with server(int(sys.argv[1]) if len(sys.argv) > 1 else 8000) as running:
        print(f"http://localhost:{running.server_address[1]}")
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
