"""A content service on loopback that answers as it is told: quickly, slowly, with garbage, or not at all."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass
class Reply:
    """`seconds`: waits so long before it answers."""

    status: int = 200
    body: bytes = b"{}"
    seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


def pick(user_id: str) -> Reply:
    return Reply(body=json.dumps([{"name": f"Tent for {user_id}"}]).encode())


@dataclass
class ContentService:
    """`answer` decides by user id; `paths` and `headers` are what was asked for, `most` how many requests were under way at once."""

    answer: Callable[[str], Reply] = pick
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def serve(self, path: str, headers: dict[str, str]) -> Reply:
        with self.lock:
            self.paths.append(path)
            self.headers.append(headers)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            reply = self.answer(unquote(path.rsplit("/", 1)[-1]))
            time.sleep(reply.seconds)
        finally:
            with self.lock:
                self.under_way -= 1
        return reply


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client that did not wait for the answer is what some tests are about."""


@contextmanager
def serving(service: ContentService) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            reply = service.serve(self.path, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            if reply.status != 204:
                self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()
