"""What says why something was refused always fits, and says where it was."""

from __future__ import annotations

import asyncio
import base64
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract import bounds
from contract.codec import decode_quarantined
from streams.door import quarantine
from streams.door.quarantine import quarantine_record, set_aside
from tests.unit.streams.memory_producer import MemoryProducer

BATCH_BYTES = 100
"""More than a batch of one record takes beside its values."""


@given(reason=st.text(max_size=3_000), value=st.one_of(st.none(), st.binary(max_size=200), st.just(b"x" * 400_000)))
@example(reason="\x01" * 60_000, value=b"x" * 400_000)
def test_the_record_fits_whatever_is_refused(reason: str, value: bytes | None) -> None:
    reason = reason.encode("utf-8", "replace").decode()
    headers, record = quarantine_record("headrace/intake", "0" * 32, "submissions", 9, 2**40, reason, value, 7)
    size = len(record) + sum(len(name) + len(text) + 10 for name, text in headers) + BATCH_BYTES
    assert size <= bounds.REFUSAL_BYTES_MAX
    read = decode_quarantined(record)
    assert (read.topic, read.partition, read.offset, read.value_bytes) == ("submissions", 9, 2**40, 7)
    assert read.reason == reason[: bounds.TEXT_MAX]
    kept = base64.b64decode(read.value_base64)
    assert (value or b"").startswith(kept)
    assert len(kept) == len(value or b"") or len(kept) > 20_000


def test_one_that_is_refused_for_its_size_all_the_same_is_sent_once_more_without_the_value() -> None:
    producer = MemoryProducer(bytes_max={"quarantine": 1_000})
    asyncio.run(set_aside(producer.as_producer, "s", "submissions", 0, 5, "why", b"x" * 60_000))
    (record,) = producer.quarantined()
    assert (record.offset, record.value_base64, record.value_bytes) == (5, "", 60_000)
    assert producer.refused == 1


def test_and_is_never_sent_again_after_that(capsys: pytest.CaptureFixture[str]) -> None:
    producer = MemoryProducer(bytes_max={"quarantine": 10})
    asyncio.run(set_aside(producer.as_producer, "s", "submissions", 3, 5, "why", b"x"))
    assert producer.refused == 2
    assert "offset=5" in capsys.readouterr().out


def test_a_flood_is_not_a_flood_of_lines_and_each_line_says_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    lines = quarantine._Lines()
    for offset in range(1_000):
        lines.say("submissions", 3, offset, "expected JSON")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == quarantine._LINES_MAX
    assert all("topic=submissions" in line and "partition=3" in line and "reason=" in line for line in said)
    assert "offset=9" in said[9]
    now_s += 60
    lines.say("submissions", 3, 1_000, "expected JSON")
    assert f"lines_left_out={1_000 - quarantine._LINES_MAX}" in capsys.readouterr().out
