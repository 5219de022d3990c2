"""What answers at a broker's port: one answer, whoever asks."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

from local.ports import HOST


def metadata(topics: int, brokers: int = 1) -> bytes:
    """The beginning of a broker's answer to a request for metadata, up to the number of topics."""
    host = struct.pack(">h", len(HOST)) + HOST.encode()
    body = struct.pack(">ii", 1, brokers) + (struct.pack(">i", 1) + host + struct.pack(">ih", 9092, -1)) * brokers
    return struct.pack(">i", len(body) + 8) + body + struct.pack(">ii", 1, topics)


class StubBroker:
    """Sends the answer to whoever sent a request, and hangs up. None: it keeps silent, with the connection open."""

    def __init__(self, answer: bytes | None, port: int = 0) -> None:
        self._answer = answer
        self._server = socket.create_server((HOST, port))
        self._open: list[socket.socket] = []
        self.address = f"{HOST}:{self._server.getsockname()[1]}"

    def __enter__(self) -> StubBroker:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._open:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            if self._answer is None:
                continue
            with suppress(OSError):  # whoever asked may have enough
                connection.recv(65_536)
                for at in range(0, len(self._answer), 1_000):  # in pieces, as a network brings it
                    connection.sendall(self._answer[at : at + 1_000])
                connection.shutdown(socket.SHUT_RDWR)
