"""A process of ours is ready when it answers itself, not when somebody else answers on its port."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

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


ITS_OWN = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from runtime.private_memory import PROCESS_HEADER, keep_memory_private

class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header(PROCESS_HEADER, str(os.getpid()))
        self.end_headers()

keep_memory_private()
HTTPServer(("%s", int(sys.argv[1])), Ready).serve_forever()
"""


def test_the_answer_of_another_process_on_its_port_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "answers.py").write_text(ITS_OWN % HOST)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    port = free_port()
    arguments = [str(port)]
    url = f"http://{HOST}:{port}/"
    program = StackProgram(
        "api", "answers", Role.API, Settings(), tmp_path, arguments=arguments, ready_url=url, port=port
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
