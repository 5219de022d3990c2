"""A pool with keys takes what is signed by who may say it, and nothing else: a host in memory, and then the auditor."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from audit.ledger.reader import JobsRecord, LedgerRecord
from audit.verify.jobs_topic import JobsTopic
from audit.verify.second_book_inputs import InputBook
from audit.verify.verdict import Verdict
from audit.verify.verification import Witnesses, verify
from contract import signers, signing
from contract.batch import Batch
from contract.codec import encode
from contract.events import InputQuarantined, JobAccepted, JobCancelled, NodeAdmitted, Opened, PolicyAdopted
from contract.inputs import (
    AliasMoved,
    CancelRequested,
    Failed,
    Input,
    NodeHeartbeat,
    NodeJoined,
    NodeReport,
    PolicyApplied,
    Requirements,
    Unreadable,
    VersionPublished,
    Wire,
)
from contract.policy import fingerprint
from contract.signers import node_signer
from contract.signing import InstallationKey, RecordSigner, Verifier
from streams import metrics
from streams.ledger.pool_keeper import PoolKeeper
from streams.ledger.pools import pool_named_by
from tests.unit.streams.led_pools import is_led, keeper_of, setup, shown, submitted
from tests.unit.streams.memory_pool import POLICY, MemoryBroker, run
from tests.unit.streams.said import VERSION
from tests.waiting import until_async

KEY, NEXT, STRANGE = (InstallationKey(bytes([number]) * 32) for number in (1, 2, 3))
NODE, OTHER_NODE = node_signer("local", "n1"), node_signer("local", "n2")
FIRST: tuple[tuple[str, Wire], ...] = (
    ("operator.ada", PolicyApplied(POLICY, fingerprint(POLICY))),
    ("relay", VersionPublished("noop", VERSION, Requirements(("cpu",), 0), 60_000)),
    ("relay", AliasMoved("noop", "live", VERSION, 1)),
    (NODE, NodeJoined("n1", "s1", "local", "cpu", 64, 0, 1_000, (VERSION,))),
    ("api", submitted(1)),
)
_numbers = count()


def say(broker: MemoryBroker, signer: str, said: Wire, key: InstallationKey | None = KEY) -> int:
    """Write the record as this signer, with a key derived from `key`; None: unsigned."""
    number = str(next(_numbers))
    who = RecordSigner(key.of(signer) if key is not None else None)
    record = who.record(said, partition=0, key=number.encode(), event_id=number, source="/test")
    return broker.say_bytes(record.value, key=record.key, headers=record.headers)


async def led(broker: MemoryBroker, *keys: InstallationKey) -> PoolKeeper:
    keeper = keeper_of(broker, verifier=Verifier(keys) if keys else None)
    await until_async(lambda: is_led(broker), "the pool is led")
    return keeper


async def all_read(broker: MemoryBroker) -> None:
    end = len(broker[0].jobs)
    await until_async(lambda: bool(broker.batches()) and broker.batches()[-1].position == end, "all is read")


async def closed(keeper: PoolKeeper, broker: MemoryBroker) -> None:
    """The pool is closed, and the auditor finds nothing wrong with its ledger and its `jobs`."""
    await keeper.close(with_snapshot=False)
    assert verdict(broker).clean


def signed() -> MemoryBroker:
    """A broker with the first records of a pool, each signed by who may say it."""
    broker = MemoryBroker()
    for signer, said in FIRST:
        say(broker, signer, said)
    return broker


async def read_and_led(*keys: InstallationKey) -> tuple[MemoryBroker, PoolKeeper]:
    """The pool of `signed`, whose first records its host has decided."""
    broker = signed()
    keeper = await led(broker, *keys)
    await all_read(broker)
    return broker, keeper


async def led_again(broker: MemoryBroker, *keys: InstallationKey) -> PoolKeeper:
    opened = len(broker.events(Opened))
    keeper = keeper_of(broker, verifier=Verifier(keys))
    await until_async(lambda: len(broker.events(Opened)) == opened + 1, "the pool is led again")
    return keeper


def jobs_of(broker: MemoryBroker) -> list[JobsRecord]:
    """As the auditor reads them."""
    return [
        JobsRecord(r.offset, r.timestamp_ms, (r.key or b"").decode(), r.value, tuple(r.headers))
        for r in broker[0].jobs
        if r.value
    ]


def verdict(broker: MemoryBroker) -> Verdict:
    ledger = [LedgerRecord(r.offset, r.timestamp_ms, r.value or b"") for r in broker[0].ledger]

    def read() -> Iterator[LedgerRecord]:
        return iter(ledger)

    return verify(read, "main", Witnesses(jobs_topic=JobsTopic(jobs_of(broker), 0)))


def signed_from(broker: MemoryBroker) -> list[int]:
    return [event.signed_from for event in broker.events(Opened)]


def test_a_pool_that_is_signed_from_the_beginning_names_who_said_what() -> None:
    async def live() -> None:
        broker, keeper = await read_and_led(KEY)
        assert signed_from(broker) == [0]
        named = [given.signer for batch in broker.batches() for given in batch.inputs]
        assert named == [signer for signer, _ in FIRST]
        assert len(broker.events(JobAccepted)) == 1
        assert broker.quarantined == []
        await closed(keeper, broker)

    run(live)


FORGED: dict[str, tuple[str, Wire, InstallationKey | None, str]] = {
    "no signature": ("api", submitted(2), None, signing.UNSIGNED),
    "another installation's key": ("api", submitted(2), STRANGE, signing.OTHER_KEY),
    "another node's report": (
        OTHER_NODE,
        NodeReport("n1", "s1", (Failed(submitted(1).submission.job, "1.1.1", "model_error"),)),
        KEY,
        signers.OF_ANOTHER_NODE,
    ),
    "another node's heartbeat": (OTHER_NODE, NodeHeartbeat("n1", "s1"), KEY, signers.OF_ANOTHER_NODE),
    "another cluster's node": (
        node_signer("east", "n2"),
        NodeJoined("n2", "s", "local", "cpu", 1, 0, 0),
        KEY,
        signers.OF_ANOTHER_NODE,
    ),
    "a policy by a node": (
        NODE,
        PolicyApplied(msgspec.structs.replace(POLICY, failures_max=1), "x"),
        KEY,
        signers.OF_ANOTHER_ROLE + "node, PolicyApplied",
    ),
    "a cancel by a node": (
        NODE,
        CancelRequested(submitted(1).submission.job, ""),
        KEY,
        signers.OF_ANOTHER_ROLE + "node, CancelRequested",
    ),
    "an operator's cancel by the API": (
        "api",
        CancelRequested(submitted(1).submission.job, ""),
        KEY,
        signers.WITHOUT_TENANT,
    ),
    "a submission by an operator": (
        "operator.ada",
        submitted(2),
        KEY,
        signers.OF_ANOTHER_ROLE + "operator, Submission",
    ),
    "an alias by the API": (
        "api",
        AliasMoved("noop", "live", "sha256:" + "0" * 64, 2),
        KEY,
        signers.OF_ANOTHER_ROLE + "api, AliasMoved",
    ),
}


def test_what_is_forged_is_set_aside_once_and_nothing_comes_of_it() -> None:
    async def live() -> None:
        broker, keeper = await read_and_led(KEY)
        before = len(broker.events(PolicyAdopted)), len(broker.events(NodeAdmitted))
        expected = []
        for signer, said, key, reason in FORGED.values():
            expected.append((0, say(broker, signer, said, key), reason))
        copied = broker[0].jobs[4]
        expected.append((0, broker.say_bytes(copied.value, key=b"other", headers=copied.headers), signing.WRONG))
        say(broker, "api", submitted(9))
        await all_read(broker)
        assert broker.quarantined == expected
        refused = [(0, e.offset, e.reason) for e in broker.events(InputQuarantined)]
        assert refused == expected, "the ledger says so too"
        assert len(broker.events(JobAccepted)) == 2, "the first and the last, which were signed"
        assert broker.events(JobCancelled) == []
        assert (len(broker.events(PolicyAdopted)), len(broker.events(NodeAdmitted))) == before
        assert len(broker.events(Opened)) == 1, "the pool never ended"
        await closed(keeper, broker)

    run(live)


def test_a_forged_tombstone_is_said_aloud_and_an_operators_is_not() -> None:
    async def live() -> None:
        broker = signed()
        keeper = await led(broker, KEY)
        bare = broker.say_bytes(None, key=b"k", headers=[])
        by_node, by_operator = (
            RecordSigner(KEY.of(signer)).tombstone(partition=0, key=b"k", event_id="t" + signer, source="/test")
            for signer in (NODE, "operator.ada")
        )
        second = broker.say_bytes(None, key=b"k", headers=by_node.headers)
        broker.say_bytes(None, key=b"k", headers=by_operator.headers)
        say(broker, "api", submitted(9))
        await all_read(broker)
        assert broker.quarantined == [
            (0, bare, signing.UNSIGNED),
            (0, second, signers.OF_ANOTHER_ROLE + "node, a tombstone"),
        ]
        await closed(keeper, broker)

    run(live)


def test_what_was_written_before_the_upgrade_is_read_unsigned_and_what_comes_later_is_not() -> None:
    async def live() -> None:
        broker = MemoryBroker()
        setup(broker)
        old = await led(broker)
        broker.say(submitted(1))
        await all_read(broker)
        await old.close(with_snapshot=False)
        broker.say(submitted(2))
        upgraded = len(broker[0].jobs)
        keeper = await led_again(broker, KEY)
        late = broker.say(submitted(3))
        say(broker, "api", submitted(4))
        await all_read(broker)
        assert signed_from(broker) == [-1, upgraded]
        assert len(broker.events(JobAccepted)) == 3
        assert broker.quarantined == [(0, late, signing.UNSIGNED)]
        await keeper.close(with_snapshot=False)
        again = await led_again(broker, KEY)
        assert signed_from(broker) == [-1, upgraded, upgraded], "a later scheduler keeps the place"
        await closed(again, broker)

    run(live)


def test_a_key_that_was_replaced_is_refused_and_during_the_rotation_it_is_not() -> None:
    metrics.SIGNED.clear()

    async def live() -> None:
        broker = signed()
        both = await led(broker, NEXT, KEY)
        say(broker, "api", submitted(2), NEXT)
        say(broker, "api", submitted(3), KEY)
        await all_read(broker)
        seen = {tuple(labels) for labels in metrics.SIGNED._metrics}
        assert {(NEXT.id, "api"), (KEY.id, "api"), (KEY.id, "node")} <= seen, "the old key cannot go yet"
        await both.close(with_snapshot=False)
        keeper = await led_again(broker, NEXT)
        with capture_logs() as lines:
            late = say(broker, "api", submitted(4), KEY)
            say(broker, "api", submitted(5), NEXT)
            await all_read(broker)
        told = [(line["claims_to_be"], line["key_id"]) for line in lines if "claims_to_be" in line]
        assert told == [("api", KEY.id)], "whoever reads the log knows which process has to get another key"
        assert len(broker.events(JobAccepted)) == 4
        assert broker.quarantined == [(0, late, signing.OTHER_KEY)]
        await closed(keeper, broker)

    run(live)


def test_a_forged_policy_names_no_pool() -> None:
    async def live() -> None:
        broker = MemoryBroker()
        clusters = {"local": msgspec.structs.replace(POLICY.clusters["local"], pool="evil")}
        other = msgspec.structs.replace(POLICY, pools={"evil": POLICY.pools["main"]}, clusters=clusters)
        assert pool_named_by(encode(PolicyApplied(other, fingerprint(other))), 0) == "evil"
        say(broker, NODE, PolicyApplied(other, fingerprint(other)))
        say(broker, "operator.ada", PolicyApplied(other, fingerprint(other)), None)
        for signer, said in FIRST:
            say(broker, signer, said)
        keeper = await led(broker, KEY)
        await all_read(broker)
        assert {batch.pool for batch in broker.batches()} == {"main"}
        assert [offset for _, offset, _ in broker.quarantined] == [0, 1]
        await keeper.close(with_snapshot=False)

    run(live)


def test_a_scheduler_without_keys_does_not_open_a_pool_that_asks_for_signatures() -> None:
    async def live() -> None:
        broker = signed()
        keeper = await led(broker, KEY)
        await keeper.close(with_snapshot=False)
        without = keeper_of(broker)
        await until_async(lambda: shown("headrace_pool_resting", "main") != [], "the pool rests")
        assert len(broker.events(Opened)) == 1
        await without.close(with_snapshot=False)

    run(live)


def test_without_keys_everything_is_taken_and_the_metrics_say_so() -> None:
    async def live() -> None:
        broker = MemoryBroker()
        setup(broker)
        keeper = await led(broker)
        say(broker, "api", submitted(1), STRANGE)
        await all_read(broker)
        assert signed_from(broker) == [-1]
        assert broker.quarantined == []
        assert {given.signer for batch in broker.batches() for given in batch.inputs} == {""}
        assert [sample.value for sample in shown("headrace_pool_unsigned", "main")] == [1]
        await keeper.close(with_snapshot=False)
        assert shown("headrace_pool_unsigned", "main") == []
        assert verdict(broker).clean

    run(live)


LIES: dict[str, Any] = {
    "another signer": lambda given: msgspec.structs.replace(given, signer="operator.eve"),
    "no signer": lambda given: msgspec.structs.replace(given, signer=""),
    "refused": lambda given: msgspec.structs.replace(given, body=Unreadable(signing.UNSIGNED), signer="", key=""),
}


@pytest.mark.parametrize("lie", LIES)
def test_the_auditor_compares_the_signer_with_the_record(lie: str) -> None:
    async def live() -> None:
        broker, keeper = await read_and_led(KEY)
        await keeper.close(with_snapshot=False)
        jobs = jobs_of(broker)
        honest, lying = JobsTopic(jobs, 0), JobsTopic(jobs, 0)
        for batch in broker.batches():
            told = msgspec.structs.replace(batch, inputs=tuple(map(LIES[lie], batch.inputs)))
            assert honest.compare(0, batch) == []
            assert len(lying.compare(0, told)) == len(batch.inputs)

    run(live)


SIGNED = Batch("main", 1, 1, "0" * 64, 1_000, 0, False, 10, (), ())
OPENED = Opened("s", "0.2.0", 4, 5)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (Input(4, 1_000, CancelRequested("main-1", "acme")), ""),
        (Input(4, 1_000, CancelRequested("main-1", "acme"), signer="api"), "input 4 was taken as signed by api"),
        (Input(5, 1_000, CancelRequested("main-1", "acme"), signer="api"), ""),
        (Input(5, 1_000, CancelRequested("main-1", "acme")), "input 5 was taken as signed by nobody"),
        (Input(5, 1_000, CancelRequested("main-1"), signer="api"), "input 5 says what its signer api may not say"),
        (Input(5, 1_000, CancelRequested("main-1"), signer="eve"), "input 5 says what its signer eve may not say"),
        (Input(5, 1_000, Unreadable(signing.WRONG)), ""),
    ],
)
def test_the_ledger_alone_shows_an_input_that_nobody_signed_who_may_say_it(given: Input, wrong: str) -> None:
    found: list[str] = []
    book = InputBook(lambda invariant, text, job: found.append(text))
    book.check_signers(msgspec.structs.replace(SIGNED, events=(OPENED,)))
    book.check_signers(msgspec.structs.replace(SIGNED, inputs=(given,)))
    assert found == ([wrong] if wrong else [])


def test_the_ledger_alone_shows_a_scheduler_that_asks_for_signatures_from_elsewhere() -> None:
    found: list[str] = []
    book = InputBook(lambda invariant, text, job: found.append(text))
    for opened in (OPENED, OPENED, Opened("old", "0.1.0", 3), Opened("s", "0.2.0", 4, 6), Opened("s", "0.2.0", 4)):
        book.check_signers(msgspec.structs.replace(SIGNED, events=(opened,)))
    assert found == [f"expected signatures from offset 5 of `jobs` on, found {elsewhere}" for elsewhere in (6, -1)]
