"""A process of ours is ready when it answers itself, not when somebody else answers on its port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from local.ports import HOST, free_port
from local.program import StackProgram
from runtime.roles import Role
from runtime.settings import Settings


class Ok(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def somebody_else(port: int) -> Iterator[None]:
    """Answers 200 on the port."""
    server = HTTPServer((HOST, port), Ok)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_answer_of_another_process_on_its_port_is_not_its_own(tmp_path: Path) -> None:
    port = free_port()
    arguments = [str(port), "--bind", HOST, "--directory", str(tmp_path)]
    url = f"http://{HOST}:{port}/"
    program = StackProgram(
        "api", "http.server", Role.API, Settings(), tmp_path, arguments=arguments, ready_url=url, port=port
    )
    try:
        with somebody_else(port):
            program.start()
            while program.alive():
                assert not program.ready(), "the other one answered"
        program.start()
        program.await_ready()
    finally:
        program.stop()
    assert not program.ready()
