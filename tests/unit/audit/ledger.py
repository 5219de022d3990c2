"""A small writer of real ledgers: inputs in, records out, decided by the production code. Tests may tamper with it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from audit.ledger.past import LedgerPast
from audit.ledger.reader import JobsRecord, LedgerRecord
from contract import inputs
from contract.batch import Batch, hash_of
from contract.codec import body_of, decode_batch, encode
from contract.events import Event
from contract.names import payload_digest
from contract.policy import Cluster, Policy, Pool, Tier, fingerprint
from scheduling.decide import Clock, decide, open_pool
from scheduling.evolve import fold, seal
from scheduling.state.pool import initial_state

POOL = "main"
START_MS = 1_790_000_000_000
VERSION = "sha256:" + "a" * 64
SALT = "00" * 16
SECRET = "a red dragon over Lisbon"
POLICY = Policy(
    tiers={"api": Tier(10_000), "free": Tier(100_000)},
    pools={POOL: Pool(0)},
    clusters={"east": Cluster(POOL, 4)},
    words_kept_ms=10_000,
)


def job_of(number: int) -> str:
    return f"{POOL}-{number:032x}"


class Ledger:
    """`say` queues inputs, `decide` makes the next record of them."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.records: list[LedgerRecord] = []
        self.jobs: list[JobsRecord] = []
        self.state = initial_state(POOL)
        self.now_ms = now_ms
        self._pending: list[inputs.Input] = []
        self.open()

    def source(self) -> Iterator[LedgerRecord]:
        return iter(list(self.records))

    @property
    def past(self) -> LedgerPast:
        return LedgerPast(POOL, lambda first: iter([record for record in self.records if record.offset >= first]))

    # -- writing ----------------------------------------------------------------------------------------------

    def open(self, session: str = "s1") -> None:
        state = self.state
        clock = Clock(state.epoch + 1, state.seq + 1, self.now_ms, 0, False)
        events = open_pool(state, session, "test", clock)
        self._append(clock, (), events)
        record = self.records[-1]
        fold(state, decode_batch(record.value), hash_of(record.value), record.offset)

    def say(self, *bodies: inputs.Wire, key: str = "") -> int:
        """Appends records to `jobs`. Returns the offset of the last record."""
        for body in bodies:
            offset = len(self.jobs)
            self.jobs.append(JobsRecord(offset, self.now_ms, key, encode(body)))
            heard = body_of(body)
            kept = key if isinstance(heard, inputs.Submission) else ""
            self._pending.append(inputs.Input(offset, self.now_ms, heard, kept))
        return len(self.jobs) - 1

    def decide(
        self, *bodies: inputs.Wire, passed_ms: int = 100, caught_up: bool = True, elapsed_ms: int = 10_000
    ) -> list[Event]:
        """Decides everything said so far. `elapsed_ms` is the most lease time that the batch counts."""
        self.now_ms += passed_ms
        self.say(*bodies)
        state = self.state
        clock = Clock(state.epoch, state.seq + 1, self.now_ms, min(passed_ms, elapsed_ms), caught_up)
        given = tuple(self._pending)
        self._pending.clear()
        decision = decide(state, given, clock)
        assert decision.taken == len(given), "a test's batch is never full"
        events = decision.events
        self._append(clock, given, events)
        record = self.records[-1]
        seal(state, hash_of(record.value), record.offset, len(self.jobs))
        return events

    def _append(self, clock: Clock, given: tuple[inputs.Input, ...], events: list[Event]) -> None:
        batch = Batch(
            pool=POOL,
            epoch=clock.epoch,
            seq=clock.seq,
            prev_hash=self.state.head_hash,
            now_ms=clock.now_ms,
            elapsed_ms=clock.elapsed_ms,
            caught_up=clock.caught_up,
            position=len(self.jobs) if given else self.state.position,
            inputs=given,
            events=tuple(events),
        )
        self.records.append(LedgerRecord(len(self.records), self.now_ms, encode(batch)))

    # -- what tests need often --------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Adopts a policy, and adds one model with one version and one node with two slots."""
        self.decide(
            inputs.PolicyApplied(POLICY, fingerprint(POLICY)),
            inputs.VersionPublished("film", VERSION, inputs.Requirements(("cpu",), 0), 60_000),
            inputs.AliasMoved("film", "live", VERSION, 1),
            inputs.NodeJoined("n1", "n1.a", "east", "cpu", 2, 0, 4096),
        )

    def submit(self, number: int, key: str = "", tier: str = "free", tenant: str = "acme") -> int:
        body = inputs.Submission(job_of(number), tenant, tier, "film", payload_digest(SALT, b"{}"), "api")
        wire = inputs.JobSubmitted(body, msgspec.Raw(msgspec.json.encode({"prompt": SECRET})), SALT)
        return self.say(wire, key=key or f"key{number}.{len(self.jobs)}")

    def dispatch_of(self, number: int) -> str:
        attempt = self.state.jobs[job_of(number)].open
        assert attempt is not None
        return attempt.dispatch

    def report(self, *reports: inputs.Report) -> list[Event]:
        return self.decide(inputs.NodeReport("n1", "n1.a", tuple(reports)))

    def succeed(self, number: int, manifest: str = "sha256:" + "e" * 64) -> None:
        dispatch = self.dispatch_of(number)
        self.report(inputs.Started(job_of(number), dispatch))
        self.report(inputs.Succeeded(job_of(number), dispatch, manifest))

    # -- tampering --------------------------------------------------------------------------------------------

    def edit(self, offset: int, value: bytes) -> None:
        self.records[offset] = self.records[offset]._replace(value=value)

    def rewrite(self, offset: int, batch: Batch, *, relink: int = 0) -> None:
        """Puts another batch at this offset and links the next `relink` records to that batch (-1: all)."""
        self.edit(offset, encode(batch))
        last = len(self.records) - 1 if relink < 0 else min(offset + relink, len(self.records) - 1)
        for at in range(offset + 1, last + 1):
            before = hash_of(self.records[at - 1].value)
            self.edit(at, encode(msgspec.structs.replace(decode_batch(self.records[at].value), prev_hash=before)))

    def batch(self, offset: int) -> Batch:
        return decode_batch(self.records[offset].value)


def lived_in() -> Ledger:
    """A ledger with a bit of everything: a success, a failure and a retry, a duplicate, a cancel, a lost node."""
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1, "k1")
    ledger.submit(2, "k2")
    ledger.submit(1, "k1b")
    ledger.decide()
    ledger.succeed(1)
    two = ledger.dispatch_of(2)
    ledger.report(inputs.Started(job_of(2), two))
    ledger.report(inputs.Failed(job_of(2), two, "model_error", "ValueError"))
    ledger.decide(passed_ms=5_000)
    ledger.open("s2")
    ledger.submit(3)
    ledger.decide(inputs.CancelRequested(job_of(3)))
    ledger.decide(inputs.NodeReport("n1", "n1.a", (inputs.Stopped(job_of(3), "0.0.0", "recalled"),)))
    ledger.report(inputs.Started(job_of(2), ledger.dispatch_of(2)))
    for _ in range(4):
        ledger.decide(passed_ms=10_000)
    ledger.decide(inputs.NodeJoined("n1", "n1.b", "east", "cpu", 2, 0, 4096))
    ledger.decide(passed_ms=10_000)
    return ledger
