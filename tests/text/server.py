"""A web server that misbehaves on demand, on this machine only."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

TEXT = b"The sea, the sea.\n" * 20_000


@dataclass
class Server:
    """What tests know of it."""

    address: str
    asked: list[str] = field(default_factory=list)
    """The paths that were asked for, one entry a request."""

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path that is asked for."""

    known: Server

    def do_GET(self) -> None:
        self.known.asked.append(self.path)
        answer = getattr(self, f"answer_{self.path.strip('/').split('.')[0]}", self.answer_missing)
        answer()

    def log_message(self, *_arguments: object) -> None:
        pass

    def answer_text(self) -> None:
        self._send(TEXT, {"Content-Length": str(len(TEXT))})

    def answer_unannounced(self) -> None:
        self._send(TEXT, {})

    def answer_short(self) -> None:
        self._send(TEXT[:1000], {"Content-Length": str(len(TEXT))})

    def answer_chunked(self) -> None:
        """Announce a chunk and break off inside it."""
        self._send(b"ffff\r\n" + TEXT[:1000], {"Transfer-Encoding": "chunked"})

    def answer_other(self) -> None:
        self._send(b"something else", {"Content-Length": "14"})

    def answer_moved(self) -> None:
        self._move("/text")

    def answer_stalled(self) -> None:
        self._send(TEXT[:1000], {"Content-Length": str(len(TEXT))})
        time.sleep(1)

    def answer_half_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Ty")

    def answer_empty(self) -> None:
        self._send(b"", {"Content-Length": "0"})

    def answer_longer(self) -> None:
        """Send more than is announced."""
        self._send(TEXT + b"and more", {"Content-Length": str(len(TEXT))})

    def answer_huge(self) -> None:
        self._send(TEXT, {"Content-Length": str(10**17)})

    def answer_absurd(self) -> None:
        self._send(TEXT[:100], {"Content-Length": "9" * 5000})

    def answer_to_file(self) -> None:
        self._move("file:///etc/passwd")

    def answer_to_ftp(self) -> None:
        self._move("ftp://127.0.0.1/x\x1b[2J")

    def answer_loop(self) -> None:
        self._move("/loop")

    def answer_escapes(self) -> None:
        self.send_error(404, "\x1b[2J" + "x" * 1000)

    def _move(self, place: str) -> None:
        self.send_response(302)
        self.send_header("Location", place)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer_silent(self) -> None:
        time.sleep(1)

    def answer_rubbish(self) -> None:
        self.wfile.write(b"\x00\xff not HTTP\r\n\r\n")

    def answer_broken(self) -> None:
        self.send_error(503)

    def answer_missing(self) -> None:
        self.send_error(404)

    def _send(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class QuietServer(http.server.ThreadingHTTPServer):
    """A client that hangs up is no news."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Server]:
    known = Server("")
    handler = type("Handler", (Handler,), {"known": known})
    with QuietServer(("127.0.0.1", 0), handler) as server:
        known.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield known
        finally:
            server.shutdown()
            thread.join()
