"""Doors of the topics: who reads which, and what stands behind each."""

from __future__ import annotations

import asyncio
import base64
import posixpath
import tempfile
from pathlib import Path
from random import Random
from typing import Any, get_args

import msgspec

from api.bodies import ProgressBody
from api.hub import Hub
from api.progress import _decoded
from audit.ledger.reader import JobsRecord
from audit.verify.jobs_topic import JobsTopic
from contract import codec
from contract.batch import Batch
from contract.codec import Malformed, decode_orders, decode_values, encode
from contract.inputs import Failed, JobSubmitted, Wire
from contract.names import dispatch_order, pool_of
from contract.orders import Order, Orders, Payload, Run
from contract.results import attempt_prefix
from contract.shadows import ShadowRecord
from contract.side_topics import AttemptProgressed, Quarantined
from gpu_worker.io import inputs
from gpu_worker.io.prepared_inputs import PreparedFetcher
from gpu_worker.io.supplies import SuppliesFetcher
from gpu_worker.rules.actions import FetchSupplies, Prefetch, Say
from gpu_worker.rules.node_rules import NodeRules
from operations.quarantine import entry_of
from runtime.kafka import Record
from runtime.worker import payloads
from runtime.worker.order_door import RANKS_MAX, orders_of
from runtime.worker.outages import OutageWaits
from runtime.worker.scratch import Scratch
from tests.fuzz.behind import Behind, again
from tests.fuzz.door import Door
from tests.fuzz.mutations import mostly_good, several
from tests.fuzz.records import record

WIRE = get_args(Wire)
OFTEN = (JobSubmitted, JobSubmitted, JobSubmitted)
"""Submissions come more often than anything else, or most records would be about jobs that nobody knows."""
KEYS = (*(b"key",) * 12, None, b"", b"\xff", b"a\0b", b"k" * 1_001, "ü".encode())
HEADER_NAMES = ("traceparent", "ce_id", "ce_source", "x\ud83d", "")
HEADER_VALUES = (None, b"", b"\xff", b"x" * 70_000, b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"00-" + b"0" * 52)


def headers(chance: Random) -> list[tuple[str, bytes | None]]:
    return [(chance.choice(HEADER_NAMES), chance.choice(HEADER_VALUES)) for _ in range(chance.choice((0, 0, 0, 1, 3)))]


def wire(chance: Random) -> bytes:
    return encode(record(chance, chance.choice(WIRE + OFTEN)))


# -- jobs --------------------------------------------------------------------------------------------------------------

JobsLine = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]


def jobs_line(chance: Random) -> JobsLine:
    return (mostly_good(chance, wire(chance)), chance.choice(KEYS), headers(chance))


def feed_jobs(lines: list[JobsLine]) -> bool:
    """Counts as taken when at least half of the records are, and follows all of them."""
    behind = Behind()
    refusals = [behind.take(*line) for line in lines]
    for refusal in filter(None, refusals):
        assert refusal.isprintable()
        assert len(refusal) < 300
    behind.read_by_all()
    return 2 * refusals.count("") >= len(refusals)


def feed_history(raw: bytes) -> bool:
    """A reader of history: wider than the door. What the door takes, history reads."""
    written = codec.decode_wire(raw)
    assert codec.decode_wire(encode(written)) == written
    topic = JobsTopic([JobsRecord(7, 1, "k", raw)], 7)
    topic.unread()
    return True


def run_of(chance: Random) -> tuple[bytes, bytes]:
    """An order that reads its payload by offset, and what lies at the offset."""
    line = record(chance, JobSubmitted)
    run = msgspec.structs.replace(
        record(chance, Run), payload=None, digest=line.submission.digest, job=line.submission.job
    )
    return encode(run), mostly_good(chance, encode(line))


def feed_payload(example: tuple[bytes, bytes]) -> bool:
    order, value = example
    run: Any = decode_orders(order)[0]
    try:
        payload = payloads.read_payload(
            run, lambda *_: value, lambda: True, OutageWaits(lambda *_: None, pause=lambda _: None)
        )
    except payloads.PayloadMissing:
        return False
    return inputs.refusal_of(payload.inputs) is None


# -- ledger, as bytes --------------------------------------------------------------------------------------------------


def feed_batch(raw: bytes) -> bool:
    batch = codec.decode_batch(raw)
    assert codec.decode_batch(encode(batch)) == batch
    bare = msgspec.structs.replace(batch, events=())
    assert codec.encode_batch(bare, [encode(event) for event in batch.events]) == encode(batch)
    return True


# -- dispatch ----------------------------------------------------------------------------------------------------------

NODE, SESSION = "n1", "s1"
ODD_RANKS: tuple[tuple[int, ...], ...] = ((0, 0), (1,), (-1,), ())


def order(chance: Random) -> bytes:
    kind = chance.choice((Run, Run, *get_args(Order)))
    made: Any = record(chance, kind)
    named: dict[str, Any] = {
        "node": chance.choice((NODE,) * 9 + ("n2",)),
        "session": chance.choice((SESSION,) * 5 + ("s2",)),
    }
    if kind is Run:
        named |= {
            "ranks": chance.choice(((0,),) * 12 + ODD_RANKS),
            "world": 1,
            "epoch": 1,
            "payload": Payload(msgspec.Raw(b'{"prompt":"x"}'), "ab" * 16),
        }
    good: Any = msgspec.structs.replace(made, **named)
    return mostly_good(chance, encode(Orders(NODE, (good,) * chance.choice((1, 3))) if chance.random() < 0.3 else good))


def orders(chance: Random) -> bytes:
    return mostly_good(chance, encode(record(chance, chance.choice((Orders, Orders, *get_args(Order))))))


def feed_record_of_orders(raw: bytes) -> bool:
    told = codec.decode_orders(raw)
    assert all(codec.decode_orders(encode(one)) == (one,) for one in told)
    return True


def feed_orders(values: list[bytes]) -> bool:
    taken = 0
    refusals: list[str] = []
    rules = NodeRules(NODE, SESSION, 2)
    with tempfile.TemporaryDirectory() as root:
        scratch = Scratch(Path(root))
        for value in values:
            try:
                told = orders_of(value, NODE, refusals.append)
            except Malformed:
                continue
            for one in told:
                behind_the_node(rules, one, scratch, Path(root))
            taken += bool(told)
        scratch.close()
    assert all(refusal.startswith("expected an order") and refusal.isprintable() for refusal in refusals)
    return 3 * taken >= len(values)


def behind_the_node(rules: NodeRules, told: Order, scratch: Scratch, root: Path) -> None:
    """Everything that a name in an order becomes on the node."""
    finished: list[Any] = []
    depot: Any = None
    for action in rules.take(told):
        match action:
            case FetchSupplies(run):
                assert scratch.attempt(run.dispatch) == f"{root}/attempts/{run.dispatch}"
                prefix = attempt_prefix(run.job, run.dispatch)
                assert posixpath.normpath(prefix) + "/" == prefix
                assert prefix.count("/") == 3
                assert pool_of(run.job)
                assert len(set(run.ranks)) == len(run.ranks), "each rank once"
                assert 0 <= min(run.ranks) <= max(run.ranks) < run.world <= RANKS_MAX, "each rank is one of the gang"
                assert len(dispatch_order(run.dispatch)) == 3
                waits = OutageWaits(lambda *_: None)
                media = PreparedFetcher(depot, scratch, waits, 0)
                SuppliesFetcher(depot, lambda *_: None, lambda *one: finished.append(one), waits, media).forget(
                    run.dispatch
                )
            case Prefetch(version):
                assert Path(version).name == version
            case Say(report):
                codec.decode_input(encode(report)) if isinstance(report, WIRE) else encode(report)
    for dispatch, attempt in list(rules.held.items()):
        rules.ended(dispatch, Failed(attempt.run.job, dispatch, "store", "E"))
    codec.decode_input(encode(rules.heartbeat()))


# -- progress, quarantine, shadow --------------------------------------------------------------------------------------


def a_record(topic: str, value: bytes) -> Record:
    return Record(topic, 0, 7, 1_700_000_000_000, b"k", value, [])


def feed_progress(values: list[bytes]) -> bool:
    """The reader passes over what it cannot read; event streams show the rest."""
    arrived = _decoded([a_record("progress", value) for value in values])
    return asyncio.run(_watched(arrived)) * 2 >= len(values)


async def _watched(arrived: list[AttemptProgressed]) -> int:
    hub = Hub()
    for progress in arrived:
        hub.subscribe("acme", progress.job, (-1, -1))
    hub.give_progress(arrived)
    for progress in arrived:
        newest = hub.progress_of(progress.job)
        if newest is not None:
            again(ProgressBody.of(newest))
    return len(arrived)


def feed_quarantined(value: bytes) -> bool:
    """A record that cannot be read is shown with its own place: always an entry."""
    entry = entry_of(a_record("quarantine", value))
    assert entry.reason.isprintable()
    assert str(entry.place).isprintable()
    again(entry)
    return codec.decode_quarantined(value) is not None


def quarantined(chance: Random) -> bytes:
    made = record(chance, Quarantined)
    shown = base64.b64encode(chance.randbytes(chance.choice((0, 1, 30)))).decode()
    return mostly_good(
        chance, encode(msgspec.structs.replace(made, value_base64=chance.choice((shown, shown, "é", "a"))))
    )


def feed_shadow(raw: bytes) -> bool:
    said = codec.decode_shadow(raw)
    assert codec.decode_shadow(encode(said)) == said
    return True


# -- values ------------------------------------------------------------------------------------------------------------


def values(chance: Random) -> bytes:
    raw = wire(chance)
    return mostly_good(chance, bytes(record(chance, JobSubmitted).inputs) if chance.random() < 0.3 else raw)


def feed_values(raw: bytes) -> bool:
    value = decode_values(raw, "inputs")
    assert decode_values(msgspec.json.encode(value), "inputs") == value
    again_raw = msgspec.json.encode(value)
    assert "\0" not in again_raw.decode()
    return True


def of(*kinds: type) -> Any:
    return lambda chance: mostly_good(chance, encode(record(chance, chance.choice(kinds))))


DOORS = (
    Door(
        "jobs, by the scheduler",
        lambda chance: several(chance, 6, jobs_line),
        feed_jobs,
        ("contract.codec.decode_input", "contract.codec.decode_key", "streams.door.jobs_door.read"),
    ),
    Door("jobs, by a reader of history", of(*WIRE), feed_history, ("contract.codec.decode_wire",), (Malformed,)),
    Door("jobs, by a node for a payload", run_of, feed_payload, ("runtime.worker.payloads.read_payload",)),
    Door("a ledger record", of(Batch), feed_batch, ("contract.codec.decode_batch",), (Malformed,)),
    Door(
        "dispatch, by a node",
        lambda chance: several(chance, 5, order),
        feed_orders,
        ("contract.codec.decode_orders", "runtime.worker.order_door.orders_of"),
    ),
    Door("dispatch, several orders", orders, feed_record_of_orders, ("contract.codec.decode_orders",), (Malformed,)),
    Door(
        "progress, by the API",
        lambda chance: several(chance, 5, of(AttemptProgressed)),
        feed_progress,
        ("contract.codec.decode_progress", "api.progress._decoded"),
    ),
    Door(
        "quarantine, by an operator",
        quarantined,
        feed_quarantined,
        ("contract.codec.decode_quarantined", "operations.quarantine.entry_of"),
        (Malformed,),
    ),
    Door("shadow", of(*get_args(ShadowRecord)), feed_shadow, ("contract.codec.decode_shadow",), (Malformed,)),
    Door("values of users and models", values, feed_values, ("contract.codec.decode_values",), (Malformed,)),
)
