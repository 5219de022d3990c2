"""Doors of the readers of a ledger: the projector, the tail, verify, why, story, as-of, a shadow and the reader of an
export, each over a ledger in which somebody has changed a record."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import get_args

import msgspec

from audit.as_of import MomentInvalid, as_of
from audit.ledger.damage import NotBelieved
from audit.ledger.export import export
from audit.ledger.past import LedgerPast
from audit.ledger.reader import ExportUnreadable, JobUnknown, LedgerRecord, ledger_of_file
from audit.story import render as told
from audit.story import story
from audit.verify.verdict import render
from audit.verify.verification import verify
from audit.waits.sentences import explained
from audit.waits.slo import attainment
from audit.waits.starts import starts
from audit.waits.why import why
from contract.batch import GENESIS, Batch, hash_of
from contract.chain import Chain, Counted, Damaged
from contract.codec import Malformed, decode_batch, encode
from contract.events import Event
from tests.fuzz.behind import again
from tests.fuzz.door import Door
from tests.fuzz.mutations import changed, mostly_good
from tests.fuzz.records import record
from tests.unit.audit.ledger import POOL, Ledger, job_of, lived_in
from tests.unit.views.tables import Tables
from whatif.recorded import LedgerEmpty, recorded

EVENTS = get_args(Event)
Edit = tuple[int, bytes, bool]
"""Which record, what stands there instead, and whether the records after it were linked to it anew."""


@cache
def a_ledger() -> Ledger:
    return lived_in()


def edited(chance: Random) -> Edit:
    """A ledger with one record changed: bytes, a field, or an event that a scheduler never wrote there."""
    at = chance.randrange(len(a_ledger().records))
    raw = a_ledger().records[at].value
    if chance.random() < 0.5:
        batch = decode_batch(raw)
        events = list(batch.events)
        match chance.randrange(4):
            case 0:
                events.insert(chance.randint(0, len(events)), record(chance, chance.choice(EVENTS)))
            case 1 if events:
                del events[chance.randrange(len(events))]
            case 2 if events:
                events.append(chance.choice(events))
            case _:
                events = [record(chance, chance.choice(EVENTS))]
        raw = encode(msgspec.structs.replace(batch, events=tuple(events)))
    else:
        raw = mostly_good(chance, raw)
    return at, raw, chance.random() < 0.7


def ledger_of(edit: Edit) -> list[LedgerRecord]:
    at, raw, relinked = edit
    records = list(a_ledger().records)
    records[at] = records[at]._replace(value=raw)
    if relinked and at:
        with suppress(Malformed):
            records[at] = linked(records[at], records[at - 1])
    for later in range(at + 1, len(records)) if relinked else ():
        records[later] = linked(records[later], records[later - 1])
    return records


def linked(after: LedgerRecord, before: LedgerRecord) -> LedgerRecord:
    batch = decode_batch(after.value)
    return after._replace(value=encode(msgspec.structs.replace(batch, prev_hash=hash_of(before.value))))


def counted(records: list[LedgerRecord]) -> Iterator[tuple[int, Batch]]:
    """As the tail and the projector read: up to the first damage."""
    chain = Chain(POOL)
    for each in records:
        judged = chain.offer(each.offset, each.value)
        if isinstance(judged, Counted):
            yield each.offset, judged.batch


def feed_views(edit: Edit) -> bool:
    records, tables = ledger_of(edit), Tables(POOL)
    with suppress(Damaged):
        for at, batch in counted(records):
            tables.take([(at, batch)])  # asserts that each row fits its columns
    again_raw = msgspec.json.encode(tables.all_rows())
    assert "\0" not in again_raw.decode()
    return is_readable(edit)


def feed_verify(edit: Edit) -> bool:
    records = ledger_of(edit)
    verdict = verify(lambda: iter(records), POOL)
    assert render(verdict)
    return is_readable(edit)


def feed_history(edit: Edit) -> bool:
    """Whoever explains the past answers, or says that the ledger cannot be believed."""
    records = ledger_of(edit)
    past = LedgerPast(POOL, lambda first: iter(each for each in records if each.offset >= first))
    now_ms = a_ledger().now_ms
    with suppress(MomentInvalid, NotBelieved):
        again(as_of(past, now_ms, now_ms))
    with suppress(NotBelieved):
        attainment(starts(past), "tier")
    with suppress(LedgerEmpty):
        recorded(past)
    for number in (1, 2, 3):
        with suppress(JobUnknown, NotBelieved):
            wait = why(job_of(number), past, now_ms=now_ms)
            for operator in (True, False):
                again(explained(wait, operator=operator))
        with suppress(JobUnknown, Damaged):
            assert told(story(job_of(number), lambda: iter(records)))
    return is_readable(edit)


def is_readable(edit: Edit) -> bool:
    try:
        decode_batch(edit[1])
    except Malformed:
        return False
    return True


# -- exports -----------------------------------------------------------------------------------------------------------


@cache
def export_lines() -> list[bytes]:
    with tempfile.TemporaryDirectory(prefix="headrace-door-") as folder:
        path = Path(folder) / "ledger.jsonl"
        export(a_ledger().source, path)
        return path.read_bytes().splitlines()


def exported(chance: Random) -> bytes:
    lines = list(export_lines())
    if chance.random() < 0.5:
        at = chance.randrange(len(lines))
        line = json.loads(lines[at])
        odd = chance.choice(("é", "a", "====", "", "eyJ9", "\ud83d", 7, None))
        match chance.randrange(5):
            case 0:
                lines[at] = json.dumps({"offset": line["offset"], "at_ms": 1, "base64": odd}).encode()
            case 1:
                lines[at] = json.dumps(line | {"offset": chance.choice((-1, 0, 2**63, 10**30))}).encode()
            case 2:
                lines[at] = mostly_good(chance, lines[at])
            case 3:
                lines[at] = changed(chance, lines[at])
            case _:
                del lines[at]
    return b"\n".join(lines) + b"\n"


def feed_export(raw: bytes) -> bool:
    with tempfile.TemporaryDirectory(prefix="headrace-door-") as folder:
        path = Path(folder) / "ledger.jsonl"
        path.write_bytes(raw)
        source = ledger_of_file(path)
        records = list(source())
        verdict = verify(source, POOL)
        assert render(verdict)
        second = Path(folder) / "second.jsonl"
        export(source, second)
        assert list(ledger_of_file(second)()) == records, "an export of an export says the same"
    return True


def record_of_the_first(chance: Random) -> bytes:
    """The first record of a ledger that is not ours: another pool, or no hash before it."""
    return mostly_good(chance, encode(msgspec.structs.replace(record(chance, Batch), pool=POOL, prev_hash=GENESIS)))


def feed_chain(raw: bytes) -> bool:
    Chain(POOL).offer(0, raw)
    return True


def chained(chance: Random) -> bytes:
    opened = a_ledger().records[0].value
    return mostly_good(chance, opened) if chance.random() < 0.8 else record_of_the_first(chance)


DOORS = (
    Door("ledger, by the tail", chained, feed_chain, ("contract.chain.Chain",), (Damaged,)),
    Door("ledger, by the projector", edited, feed_views, ("views.fold.Fold",)),
    Door("ledger, by verify", edited, feed_verify, ("audit.verify.verification.verify",)),
    Door("ledger, by those who explain", edited, feed_history, ("audit.waits.why.why", "audit.as_of.as_of")),
    Door("an export", exported, feed_export, ("audit.ledger.reader.ledger_of_file",), (ExportUnreadable,)),
)
