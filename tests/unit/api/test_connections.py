"""A connection that asks nothing ends, and many of them keep nobody out."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from api import connections
from api.addresses import shared_address
from api.connections import ApiConfig, BoundedConnection, OpenConnections, connections_of
from api.problems import Problem
from runtime import open_files
from tests.waiting import until_async, within

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Connection:
    def __init__(self, among: OpenConnections, address: str = "198.51.100.1") -> None:
        self.is_open = True
        among.open(self, address)

    def drop(self) -> None:
        self.is_open = False


def test_the_connection_that_has_waited_longest_makes_room() -> None:
    among = OpenConnections(100, 3)
    oldest, works, newest = (Connection(among) for _ in range(3))
    among.works(works)
    other = Connection(among, "203.0.113.1")
    Connection(among)
    assert (oldest.is_open, works.is_open, newest.is_open, other.is_open) == (False, True, True, True)
    among.waits(works)
    Connection(among)
    assert (works.is_open, newest.is_open) == (True, False), "whoever asked a moment ago has waited less long"


def test_where_all_have_requests_under_way_a_new_connection_is_refused() -> None:
    among = OpenConnections(3, 2)
    for _ in range(2):
        among.works(Connection(among))
    with pytest.raises(Problem) as of_address:
        Connection(among)
    last = Connection(among, "203.0.113.1")
    among.works(last)
    with pytest.raises(Problem) as of_process:
        Connection(among, "203.0.113.2")
    assert (of_address.value.status, of_process.value.status) == (429, 503)
    assert "Retry-After" in of_process.value.headers
    among.close(last)
    assert Connection(among, "203.0.113.2").is_open


def test_many_silent_connections_from_many_addresses_leave_room_too() -> None:
    among = OpenConnections(10, 5)
    for number in range(1_000):
        Connection(among, f"address {number}")
    assert among.count == 10
    assert len(among._by_address) == 10, "addresses that are gone are forgotten"


@pytest.mark.parametrize(
    ("host", "shared"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("x" * 500, "x" * 64),
        ("", ""),
    ],
)
def test_a_network_of_ipv6_counts_as_one_address(host: str, shared: str) -> None:
    assert shared_address(host) == shared


class Wire(asyncio.Transport):
    """A transport in memory."""

    def __init__(self) -> None:
        super().__init__({"peername": ("198.51.100.1", 1)})
        self.sent, self.closed, self.aborted = b"", False, False
        self.unread = 0

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return self.unread

    def resume_reading(self) -> None: ...

    def pause_reading(self) -> None: ...


class Served:
    """One connection to an application that answers once it may."""

    def __init__(self, among: OpenConnections) -> None:
        self.may_answer = asyncio.Event()
        self.wire = Wire()
        config = ApiConfig(self._answer, interface="asgi3", lifespan="off", log_config=None)
        config.open_connections = among
        self.connection = BoundedConnection(config, ServerState(), {})
        self.connection.connection_made(self.wire)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.001)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "])
@pytest.mark.usefixtures("hasty")
def test_a_connection_that_does_not_send_its_headers_ends(sent: bytes) -> None:
    async def live() -> None:
        served = Served(OpenConnections(10, 10))
        if sent:
            served.connection.data_received(sent)
        await until_async(lambda: served.wire.aborted, "the connection has ended")

    asyncio.run(within(60, live()))


@pytest.mark.usefixtures("hasty")
def test_a_second_request_that_does_not_end_ends_the_connection() -> None:
    async def live() -> None:
        served = Served(OpenConnections(10, 10))
        served.may_answer.set()
        served.connection.data_received(REQUEST)
        await until_async(lambda: b"200 OK" in served.wire.sent, "the first is answered")
        served.connection.data_received(b"G")
        await until_async(lambda: served.wire.aborted, "the connection has ended")

    asyncio.run(within(60, live()))


@pytest.mark.usefixtures("hasty")
def test_a_request_under_way_may_take_its_time_and_its_connection_waits_afterwards() -> None:
    async def live() -> None:
        among = OpenConnections(1, 1)
        served = Served(among)
        served.connection.data_received(REQUEST)
        assert served.connection._timer is None
        refused = Served(among)
        assert refused.wire.closed
        assert refused.wire.sent.startswith(b"HTTP/1.1 429 ")
        assert b"Retry-After: 5\r\n" in refused.wire.sent
        served.may_answer.set()
        await until_async(lambda: served.connection in among._waiting, "the answer is sent")
        assert not served.wire.closed
        Served(among)
        assert served.wire.aborted

    asyncio.run(within(60, live()))


def test_a_client_that_never_reads_its_answer_loses_its_connection() -> None:
    async def live() -> None:
        served = Served(OpenConnections(1, 1))
        served.wire.unread = 1
        served.connection.timeout_keep_alive_handler()
        assert served.wire.aborted

    asyncio.run(within(60, live()))


def test_an_answer_that_nobody_reads_ends_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_S", 0.001)

    async def live() -> None:
        served = Served(OpenConnections(1, 1))
        served.connection.data_received(REQUEST)
        served.wire.unread = 1
        served.connection.pause_writing()
        try:
            await until_async(lambda: served.wire.aborted, "the connection has ended")
        finally:
            served.connection.connection_lost(None)
        assert served.connection._reading is None

    asyncio.run(within(60, live()))


@pytest.mark.parametrize(("reads_bytes", "is_kept"), [(100, False), (connections.READ_LEAST_BYTES, True)])
def test_a_client_that_reads_slowly_is_waited_for_and_one_that_reads_a_byte_now_and_then_is_not(
    reads_bytes: int, is_kept: bool
) -> None:
    async def live() -> None:
        served = Served(OpenConnections(1, 1))
        served.connection.data_received(REQUEST)
        served.wire.unread = before = 10 * connections.READ_LEAST_BYTES
        served.connection.pause_writing()
        served.wire.unread -= reads_bytes
        first = served.connection._reading
        served.connection._look_at_reading(before)
        looks_again = served.connection._reading not in (None, first)
        served.connection.resume_writing()
        assert served.connection._reading is None
        assert (served.wire.aborted, looks_again) == (not is_kept, is_kept)

    asyncio.run(within(60, live()))


def test_open_files_are_raised_as_far_as_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1_024, 4_096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    assert open_files.raise_open_files() == 4_096
    assert limits[-1] == (4_096, 4_096)
    assert open_files.raise_open_files() == 4_096
    assert connections_of(1_024, 5)._connections_max == 1_024 - connections.FILES_KEPT
    assert connections_of(65_536, 5)._connections_max == connections.CONNECTIONS_MAX
