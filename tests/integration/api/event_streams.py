"""Event streams of the API, read over a real connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from tests.integration.api.conftest import Caller

Event = tuple[str, str, dict[str, Any]]
"""(id, name, data)."""


class Stream:
    """The events of a stream, one for each `next`. A read fails after the timeout of the client."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def frames(self) -> Iterator[dict[str, str]]:
        fields: dict[str, str] = {}
        for line in self._lines:
            if not line:
                if fields:
                    yield fields
                fields = {}
            else:
                name, _, value = line.partition(":")
                fields[name] = value.strip()

    def events(self) -> Iterator[Event]:
        for fields in self.frames():
            if "event" in fields:
                yield fields.get("id", ""), fields["event"], msgspec.json.decode(fields["data"])


@contextmanager
def stream(caller: Caller, job: str, last_id: str = "") -> Iterator[Stream]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with caller.http.stream("GET", f"/v1/jobs/{job}/events", headers=headers, timeout=15) as response:
        yield Stream(response)
