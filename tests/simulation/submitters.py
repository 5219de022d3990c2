"""Who asks for jobs: an API that answers 202 on the broker's ack, and upstream products on `submissions` with an
intake that copies at least once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec

from contract import codec, inputs, names
from contract.topics import JOBS
from tests.simulation.log import Broker, Record, Unclear

SUBMISSIONS = "submissions"
SALT = "00" * 16
AGE_YOUNG_MS = 300_000


def deliver(broker: Broker, value: bytes, acked: Callable[[], None] | None = None, key: str = "") -> None:
    """Sends a record to `jobs` again and again until the broker acknowledged a copy of it."""

    def heard(outcome: Record | Unclear) -> None:
        if isinstance(outcome, Unclear):
            deliver(broker, value, acked, key)
        elif acked is not None:
            acked()

    broker.produce(JOBS, value, heard, key)


def submitted(submission: inputs.Submission) -> bytes:
    return codec.encode(inputs.JobSubmitted(submission, msgspec.Raw(b'{"prompt":"-"}'), SALT))


class Api:
    """POST /v1/jobs: the record first, the 202 after."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.acknowledged: set[str] = set()

    def post(self, submission: inputs.Submission, tries: int = 6) -> None:
        timeline = self.broker.timeline

        def heard(outcome: Record | Unclear) -> None:
            if isinstance(outcome, Record):
                self.acknowledged.add(submission.job)
                if timeline.happens(0.15):  # the answer is lost on its way; the client asks again
                    timeline.after(timeline.between(10, 3_000), lambda: self.post(submission, 1))
            elif tries > 1:
                self.post(submission, tries - 1)

        self.send(submission, heard)

    def send(self, submission: inputs.Submission, heard: Callable[[Record | Unclear], None]) -> None:
        key = f"{self.broker.timeline.chance.getrandbits(64):016x}"
        self.broker.produce(JOBS, submitted(submission), heard, key)


class Intake:
    """Copies `submissions` to `jobs`, in order and at least once: after a crash it reads a few records again."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.taken_young: set[str] = set()
        """The jobs that intake copied in good time."""
        self._position = 0
        self._busy = False
        self._life = 0

    def appended(self) -> None:
        self.broker.timeline.after(self.broker.timeline.between(1, 5), self._copy_next)

    def crash(self) -> None:
        self._life += 1
        self._busy = False
        self._position = max(0, self._position - self.broker.timeline.between(0, 4))
        self._copy_next()

    def _copy_next(self) -> None:
        if self._busy:
            return
        records = self.broker.read(SUBMISSIONS, self._position, 1)
        if not records:
            if self.broker.down:
                self.broker.timeline.after(1_000, self._copy_next)
            return
        record = records[0]
        assert record.value is not None
        asked = msgspec.json.decode(record.value, type=inputs.Submission)
        copy = msgspec.structs.replace(asked, submitted_ms=record.append_ms)
        if self.broker.clock_ms - record.append_ms < AGE_YOUNG_MS:
            self.taken_young.add(copy.job)
        self._busy = True
        life = self._life

        def acked() -> None:
            if life != self._life:
                return
            self._busy = False
            self._position = record.offset + 1
            self._copy_next()

        deliver(self.broker, submitted(copy), acked, f"{self.broker.timeline.chance.getrandbits(64):016x}")


def submission(
    job_number: int, tenant: str, tier: str, model: str, via: str, within_ms: int, now_ms: int
) -> inputs.Submission:
    identity = hashlib.sha256(f"{tenant}/{job_number}".encode()).hexdigest()
    digest = names.payload_digest(SALT, b'{"prompt":"-"}')
    asked = inputs.Submission(f"main-{identity[:32]}", tenant, tier, model, digest, via)
    if not within_ms:
        return asked
    if via == "api":
        return msgspec.structs.replace(asked, expires_in_ms=within_ms)
    return msgspec.structs.replace(asked, expires_ms=now_ms + within_ms)
