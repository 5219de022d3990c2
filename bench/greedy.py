"""`python -m bench.greedy KIND URL SECRET JOB`: one tenant takes all that it can get of an API, until it is ended.

A client of plain sockets, so that what it takes of the machine's processors is little beside what the API spends on it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

from registry import keys
from runtime.open_files import raise_open_files

BODY_BYTES = 255 * 1024
ADDRESS = "127.0.0.2"
"""Where it comes from: another address than the quiet tenant's."""
AGAIN_S = 0.2
"""A client that is refused or cut off comes back so soon, whatever it was told."""


class GreedyClient:
    """Where it asks, with which key, and what it was answered."""

    def __init__(self, url: str, secret: str, job: str) -> None:
        there = urlsplit(url)
        self.host, self.port = there.hostname or "", there.port or 80
        self.secret, self.job = secret, job
        self.answers: Counter[int] = Counter()
        """By status; 0: the connection ended without an answer."""

    def request(self, method: str, path: str, body: bytes = b"", *, secret: str = "", length: int = -1) -> bytes:
        """`length`: what the request says of its body, if not the truth."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.host}",
            f"Authorization: Bearer {secret or self.secret}",
            f"Content-Length: {len(body) if length < 0 else length}",
            "Content-Type: application/json",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def always(self, times: int, client: Callable[[], Awaitable[None]]) -> None:
        """So many clients at once; each comes back when it has ended."""

        async def again() -> None:
            while True:
                with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                    await client()
                await asyncio.sleep(AGAIN_S)

        await asyncio.gather(*[again() for _ in range(times)])

    async def ask_on(self, next_request: Callable[[], bytes]) -> None:
        """One request after the other on one connection."""
        reader, writer = await self._connected()
        try:
            while True:
                writer.write(next_request())
                await writer.drain()
                status, length = await self._answer(reader)
                self.answers[status] += 1
                await reader.readexactly(length)
        finally:
            writer.close()

    async def keep(self, sent: bytes) -> None:
        """Send this, and hold the connection for as long as the API lets us."""
        reader, writer = await self._connected()
        try:
            writer.write(sent)
            while read := await reader.read(4096):
                if read.startswith(b"HTTP/1.1 "):
                    self.answers[int(read[9:12])] += 1
                if read.startswith(b"HTTP/1.1 4"):
                    return
            self.answers[0] += 1
        finally:
            writer.close()

    async def never_read(self, sent: bytes) -> None:
        _, writer = await self._connected()
        try:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(50):
                writer.write(sent)
            await asyncio.sleep(3_600)
        finally:
            writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port, local_addr=(ADDRESS, 0))

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, int]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        lengths = [line.partition(":")[2] for line in head.splitlines() if line.startswith("content-length:")]
        return int(head[9:12]), int(lengths[0]) if lengths else 0


def costly_body() -> bytes:
    """As large as a body may be, and wrong at its very end: all of it is checked, and no job is made."""
    items = [{"k": number} for number in range(BODY_BYTES // 13)]
    body = json.dumps({"model": "unique", "inputs": {"items": [*items, items[-1]]}}, separators=(",", ":"))
    return body.encode()


async def checks(client: GreedyClient) -> None:
    sent = client.request("POST", "/v1/jobs", costly_body())
    await client.always(50, lambda: client.ask_on(lambda: sent))


async def streams(client: GreedyClient) -> None:
    sent = client.request("GET", f"/v1/jobs/{client.job}/events")
    await client.always(2_000, lambda: client.keep(sent))


async def whys(client: GreedyClient) -> None:
    sent = client.request("GET", f"/v1/jobs/{client.job}/why")
    await client.always(50, lambda: client.ask_on(lambda: sent))


async def listings(client: GreedyClient) -> None:
    sent = client.request("GET", "/v1/jobs?state=failed")
    await client.always(50, lambda: client.ask_on(lambda: sent))


async def wrong_keys(client: GreedyClient) -> None:
    await client.always(50, lambda: client.ask_on(lambda: client.request("GET", "/v1/jobs", secret=keys.draw()[1])))


async def silent(client: GreedyClient) -> None:
    await client.always(1_100, lambda: client.keep(b"GET / HTTP/1.1\r\nHost: a\r\n"))


async def slow_bodies(client: GreedyClient) -> None:
    sent = client.request("POST", "/v1/jobs", length=1_000)
    await client.always(500, lambda: client.keep(sent))


async def unread(client: GreedyClient) -> None:
    sent = client.request("GET", "/openapi.json")
    await client.always(200, lambda: client.never_read(sent))


KINDS = {
    "checks of 256 KiB with uniqueItems": checks,
    "2,000 event streams": streams,
    "50 asking why": whys,
    "50 listing ?state= over a large history": listings,
    "50 sending keys that nobody has": wrong_keys,
    "1,100 connections that say nothing": silent,
    "500 bodies that never come": slow_bodies,
    "200 that read no answer": unread,
}


async def take(kind: str, client: GreedyClient) -> None:
    """Until standard input ends; then what was answered is printed."""
    taking = asyncio.create_task(KINDS[kind](client))
    await asyncio.to_thread(sys.stdin.read)
    taking.cancel()
    await asyncio.wait({taking})
    print(json.dumps(client.answers))


if __name__ == "__main__":
    raise_open_files()
    _, named, *where = sys.argv
    asyncio.run(take(named, GreedyClient(*where)))
