"""A network in memory for httpcore: servers that answer by a script, time that passes only while somebody waits."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore

Script = Iterable[bytes | float | Exception]
"""What a server sends: bytes, or seconds of silence before the next, or how the connection breaks. Then it closes."""


class SteppedClock:
    """Seconds, as `time.monotonic`: they pass when somebody says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class ScriptedNetwork(httpcore.NetworkBackend):
    def __init__(self, clock: SteppedClock, serve: Callable[[str], Script], *, tls: Exception | float = 0.0) -> None:
        """`serve`: the script for a connection to this address. `tls`: what the handshake raises or takes."""
        self.clock = clock
        self._serve = serve
        self._tls = tls
        self.connected: list[tuple[str, int]] = []
        self.names: list[str | None] = []
        """For which the certificates were checked."""
        self.contexts: list[ssl.SSLContext] = []
        self.heard: list[bytes] = []
        """What each connection was asked."""
        self.closed = 0

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> ScriptedStream:
        self.connected.append((host, port))
        self.heard.append(b"")
        script = iter(self._serve(host))
        return ScriptedStream(self, script, len(self.heard) - 1, self._tls)


class ScriptedStream(httpcore.NetworkStream):
    def __init__(
        self, network: ScriptedNetwork, script: Iterator[bytes | float | Exception], number: int, tls: Exception | float
    ) -> None:
        self._network = network
        self._script = script
        self._number = number
        self._tls = tls
        self._rest = b""
        self._silence_s = 0.0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        assert timeout is not None
        assert timeout > 0
        while not self._rest:
            if self._silence_s > timeout:
                self._network.clock.now_s += timeout
                self._silence_s -= timeout
                raise httpcore.ReadTimeout
            self._network.clock.now_s += self._silence_s
            self._silence_s = 0.0
            match next(self._script, b""):
                case b"":
                    return b""
                case bytes() as sent:
                    self._rest = sent
                case Exception() as broken:
                    raise broken
                case silence_s:
                    self._silence_s = silence_s
        taken, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return taken

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        assert timeout is not None
        self._network.heard[self._number] += buffer

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> ScriptedStream:
        assert timeout is not None
        self._network.names.append(server_hostname)
        self._network.contexts.append(ssl_context)
        if isinstance(self._tls, Exception):
            raise httpcore.ConnectError from self._tls
        if self._tls > timeout:
            self._network.clock.now_s += timeout
            raise httpcore.ConnectTimeout
        return self

    def close(self) -> None:
        self._network.closed += 1


def http_answer(body: bytes = b"", status: int = 200, **headers: str) -> bytes:
    """An answer with its length and the type video/mp4, unless the headers say otherwise (`content_length=""`: none).
    A header that comes twice has a line break in its value."""
    said = {"content_length": str(len(body)), "content_type": "video/mp4"} | headers
    lines = [
        f"{name.replace('_', '-')}: {value}" for name, values in said.items() for value in values.split("\n") if value
    ]
    return "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode() + body
