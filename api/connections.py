"""The connections of one API process: who may open how many, and how long one may be silent.

Theory of operation. uvicorn waits for ever for the first byte of a connection and for the end of a request's headers,
and its own limit counts silent connections and answers without a word. So here a thin subclass of its protocol arms a
timer while no request is under way, and another while the client does not read what it is sent, and counts connections
by address. Where an address, or everybody together, has too many, the connection that has waited longest without a
request makes room: whoever really asks is served, and whoever only holds connections loses them. Only when every one of
them has a request under way is a new one refused.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.addresses import shared_address
from api.guard import SECURITY_HEADERS
from api.problems import MEDIA_TYPE, Problem, body_of

HEADERS_S = 10.0
"""A connection ends when it has not sent the whole headers of a request so long after it was opened, or after the first
byte of a later request."""
UNREAD_S, READ_LEAST_BYTES = 60.0, 16 * 1024
"""While more is ready for a client than its connection's buffer may hold, the client reads this much in each UNREAD_S,
or its connection ends: an answer that nobody reads would keep its request, and what the request has of its tenant's
share, for ever."""
CONNECTIONS_MAX = 4_000
"""Of one process; event streams are among them."""
FILES_KEPT = 256
"""Open files that connections may not have: the servers that we ask, modules, logs."""
RETRY_AFTER_S = 5


class Droppable(Protocol):
    """A connection that can be ended without a word."""

    def drop(self) -> None: ...


class OpenConnections:
    """Which connections are open, from where, and which of them have no request under way. Used in one event loop."""

    def __init__(self, connections_max: int, of_address_max: int) -> None:
        self._connections_max = connections_max
        self._of_address_max = of_address_max
        self._addresses: dict[Droppable, str] = {}
        self._waiting: dict[Droppable, None] = {}
        """The one that has waited longest first."""
        self._by_address: dict[str, dict[Droppable, None]] = {}
        """In the order in which each began to wait; those with a request under way keep their place."""

    @property
    def count(self) -> int:
        return len(self._addresses)

    def open(self, connection: Droppable, address: str) -> None:
        """Counts a new connection, which waits for its first request. Problem 429 or 503 when there is no room."""
        of_address = self._by_address.get(address, {})
        if len(of_address) >= self._of_address_max:
            self._make_room(next((one for one in of_address if one in self._waiting), None), 429, "from this address")
        if self.count >= self._connections_max:
            self._make_room(next(iter(self._waiting), None), 503, "in this process")
        self._addresses[connection] = address
        self._by_address.setdefault(address, {})[connection] = None
        self._waiting[connection] = None

    def works(self, connection: Droppable) -> None:
        """A request of the connection is under way."""
        self._waiting.pop(connection, None)

    def waits(self, connection: Droppable) -> None:
        """The connection has no request under way any more."""
        if connection in self._addresses and connection not in self._waiting:
            self._waiting[connection] = None
            of_address = self._by_address[self._addresses[connection]]
            of_address[connection] = of_address.pop(connection)

    def close(self, connection: Droppable) -> None:
        """Forgets the connection, if it is known."""
        address = self._addresses.pop(connection, None)
        self._waiting.pop(connection, None)
        if address is None:
            return
        of_address = self._by_address[address]
        del of_address[connection]
        if not of_address:
            del self._by_address[address]

    def _make_room(self, silent: Droppable | None, status: int, where: str) -> None:
        if silent is None:
            raise Problem(
                status,
                "too-many-connections",
                f"every connection {where} has a request under way, and there may be no more of them: use connections"
                " again, end event streams that nobody reads, or try again",
                retry_after_s=RETRY_AFTER_S,
                headers={"Connection": "close"},
            )
        self.close(silent)
        silent.drop()


class ApiConfig(uvicorn.Config):
    """uvicorn's settings, and the connections that its protocols count themselves in."""

    open_connections: OpenConnections


class BoundedConnection(H11Protocol):
    """One connection. It ends when it sends no request in time."""

    _timer: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _open: OpenConnections | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        assert isinstance(self.config, ApiConfig)
        self._open = self.config.open_connections
        try:
            self._open.open(self, shared_address(self.client[0] if self.client else ""))
        except Problem as problem:
            self._end_with(problem)
        else:
            self._arm()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_working:
            self._begin()
        else:
            self._arm()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_working:  # a request that the client sent before the answer to the last one
            self._begin()
        elif self._open is not None:
            self._open.waits(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._end_reading()
        if self._open is not None:
            self._open.close(self)
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():  # a client that reads nothing would keep what closes gracefully
            self.drop()
        else:
            super().timeout_keep_alive_handler()

    def drop(self) -> None:
        self._disarm()
        self._end_reading()
        self.transport.abort()

    @property
    def _is_working(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _begin(self) -> None:
        self._disarm()
        if self._open is not None:
            self._open.works(self)

    def _arm(self) -> None:
        if self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEADERS_S, self.drop)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _await_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(UNREAD_S, self._look_at_reading, unread)

    def _look_at_reading(self, unread_before: int) -> None:
        if self.transport.get_write_buffer_size() > unread_before - READ_LEAST_BYTES:
            self.drop()
        else:
            self._await_reading()

    def _end_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _end_with(self, problem: Problem) -> None:
        """An answer to whatever the client is about to ask, then the end."""
        body = msgspec.json.encode(body_of(problem, "none"))
        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), **SECURITY_HEADERS, **problem.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 {problem.status} Refused\r\n{lines}\r\n".encode() + body)
        self.transport.close()


def connections_of(open_files: int, of_address_max: int) -> OpenConnections:
    """The connections of a process that may have so many files open."""
    return OpenConnections(max(1, min(CONNECTIONS_MAX, open_files - FILES_KEPT)), of_address_max)
