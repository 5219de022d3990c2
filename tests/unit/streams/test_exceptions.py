"""A writer that raised appends nothing any more: the ledger would be damaged to every reader, for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.inputs import CancelRequested, Input
from scheduling.decide import decide
from streams.ledger import writer as writers
from streams.ledger.phases import OutOfPlace, WriterPhase
from tests.unit.streams.memory_log import Host, MemoryLog, reader_hash
from tests.unit.streams.said import Said


class Struck(Exception):
    """What the tests have a part raise."""


def strike(*_: Any, **__: Any) -> Any:
    raise Struck


@pytest.fixture
def host() -> Host:
    return Host(MemoryLog(), "one").lead()


def strike_decide_halfway(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step in which `decide` has moved the state when it raises, as it has in the middle of a plan."""

    def halfway(*given: Any) -> Any:
        decide(*given)
        raise Struck

    with monkeypatch.context() as struck:
        struck.setattr(writers, "decide", halfway)
        with pytest.raises(Struck):
            host.step()


def test_after_an_exception_in_decide_nothing_is_appended(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said()
    host.give(*said.setup())
    strike_decide_halfway(host, monkeypatch)
    assert host.writer.phase is WriterPhase.STOPPED
    records = len(host.log.records)
    host.give(said.job(1))
    for _ in range(3):
        host.pass_ms(10_000)
        host.step()
    assert (host.flight, len(host.log.records)) == ([], records)
    Host(host.log, "two").lead()
    assert reader_hash(host.log), "every reader still takes the ledger"


def read_again(host: Host) -> object:
    return host.writer.read(len(host.log.records), 0, host.log.records[-1][1])


ENTRIES: dict[str, tuple[str, Callable[[Host], object]]] = {
    "read": ("_take_not_counted", read_again),
    "acked": ("_own", lambda host: host.writer.acked(1, 0, host.mono_ms)),
    "unclear": ("_stop", lambda host: host.writer.unclear("lost")),
    "receive": ("_inputs", lambda host: host.writer.receive(Input(9, 0, CancelRequested("main-1")), 200)),
    "jobs_end": ("_stop", lambda host: host.writer.jobs_end(-1)),
    "step": ("_due", lambda host: host.writer.step(host.mono_ms)),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_whatever_raises_in_a_writer_stops_it(host: Host, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    part, call = ENTRIES[entry]
    monkeypatch.setattr(host.writer, part, strike)
    with pytest.raises((Struck, AttributeError, TypeError)):
        call(host)
    assert host.writer.phase is WriterPhase.STOPPED


def test_a_batch_out_of_its_place_is_never_handed_out(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even by a writer that somebody has made forget its exception."""
    said = Said()
    host.give(*said.setup())
    strike_decide_halfway(host, monkeypatch)
    host.writer.phase = WriterPhase.LEADING
    host.give(said.job(1))
    host.pass_ms(100)
    with pytest.raises(OutOfPlace, match="seq 2"):
        host.step()
    assert host.flight == []
