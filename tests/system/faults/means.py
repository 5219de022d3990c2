"""How each fault is done on the real stack. Each one ends before its function returns."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable

import psutil

from contract import access
from contract.access import node_role
from contract.inputs import CancelRequested, NodeCordonRequested, NodeHeartbeat, Wire
from contract.names import job_id_of_event
from contract.signers import node_signer
from contract.signing import InstallationKey, RecordSigner, SigningKey, installation_keys
from contract.topics import JOBS, SUBMISSIONS
from local import stack
from runtime import jobs_writer
from runtime.kafka import Delivery, DeliveryUnclear, Producer
from runtime.worker.node import REFUSED
from tests.system.breaking import UP_WITHIN_S, frozen, keep_down, process_of, read_only
from tests.system.faults.timetable import NODES, Planned
from tests.system.installation import Installation
from tests.system.senders import SOURCE, submission
from tests.waiting import until

HEARD_WITHIN_S = 90.0
"""For an operator's command while other faults last: each try waits up to 15 s for the scheduler."""
NAMESAKE_ENDS_WITHIN_S = 20.0
SERVERS = ("postgres", "s3", "kafka")
"""Each stands still with its children."""
OPERATORS = {
    "held": (("pools", "hold"), ("pools", "release")),
    "drained": (("clusters", "drain"), ("clusters", "activate")),
    "cordoned": (("clusters", "cordon"), ("clusters", "uncordon")),
}
"""What an operator says at the beginning and at the end."""


class Means:
    """Breaks one installation. From several threads."""

    def __init__(self, here: Installation, seed: int, acked: Callable[[], list[str]]) -> None:
        """`acked`: the jobs that were acknowledged by now."""
        self._here = here
        self._chance = random.Random(seed)
        self._acked = acked
        self._namesakes = 0
        self.refused: set[tuple[str, int, int]] = set()
        """(topic, partition, offset) of records that must be in quarantine."""

    def do(self, planned: Planned) -> str:
        """The whole fault, its end included. What there is to say of it."""
        match planned.fault:
            case "killed":
                self._kill(planned.target)
            case "frozen" | "suspended":
                whole = planned.fault == "suspended" or planned.target in SERVERS
                with frozen(self._here, planned.target, with_children=whole):
                    time.sleep(planned.lasts_s)
            case "down":
                keep_down(self._here, planned.target, planned.lasts_s)
                process_of(self._here, planned.target)
            case "read-only":
                with read_only(self._here):
                    time.sleep(planned.lasts_s)
            case "held" | "drained" | "cordoned":
                begin, end = OPERATORS[planned.fault]
                self._say(*begin, planned.target)
                time.sleep(planned.lasts_s)
                self._say(*end, planned.target)
            case "namesake":
                return self._namesake(planned.target, planned.lasts_s)
            case "bad records":
                return self._bad_records(planned.target)
        return ""

    def _kill(self, target: str) -> None:
        """As soon as it runs."""

        def hit() -> bool:
            if target == "child":
                return any(self._here.kill_child(node) for node in NODES if self._here.pid(node))
            return self._here.kill(target)

        until(hit, f"{target} runs and can be killed", UP_WITHIN_S)

    def _say(self, *words: str) -> None:
        """An operator's command, until it is heard."""

        def heard() -> bool:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._here.cli(*words).returncode == 0
            return False

        until(heard, f"headrace {' '.join(words)} is heard", HEARD_WITHIN_S)

    def _namesake(self, node: str, lasts_s: float) -> str:
        """A second machine with the name of this node. It stays out, unless it is there first."""
        self._namesakes += 1
        first = until(lambda: self._agent(node), f"{node} runs", UP_WITHIN_S)
        assert first is not None
        data = self._here.data / f"namesake-{self._namesakes}"
        log = self._here.layout.logs / f"namesake-{self._namesakes}.log"
        with log.open("wb") as said:
            namesake = subprocess.Popen(
                first[0],
                env=first[1] | {"HEADRACE_DATA": str(data), "HEADRACE_METRICS_PORT": "0"},
                stdout=said,
                stderr=said,
            )
        try:
            namesake.wait(lasts_s + NAMESAKE_ENDS_WITHIN_S / 4)
        except subprocess.TimeoutExpired:
            namesake.terminate()
            try:
                namesake.wait(NAMESAKE_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                namesake.kill()
                namesake.wait()
                return "was let in, and killed"
        return "stayed out" if namesake.returncode == REFUSED else f"ended with {namesake.returncode}"

    def _agent(self, node: str) -> tuple[list[str], dict[str, str]] | None:
        """Command and environment of the node's agent, once it is more than its wrapper (local.processes)."""
        with contextlib.suppress(psutil.Error):
            process = process_of(self._here, node)
            command = process.cmdline()
            if command[:1] == [sys.executable]:
                return command, process.environ()
        return None

    def _bad_records(self, topic: str) -> str:
        """Records that no door takes, and that would do harm if one did."""
        role = node_role("local") if topic == JOBS else access.PRODUCER
        producer = Producer(stack.brokers(self._here.data, role), "stranger")
        try:
            write = self._to_jobs if topic == JOBS else self._to_submissions
            places = until(lambda: write(producer), f"strangers write to {topic}", HEARD_WITHIN_S)
        finally:
            producer.close()
        self.refused |= {(topic, partition, offset) for partition, offset in places}
        return f"{len(places)} records"

    def _to_submissions(self, producer: Producer) -> list[tuple[int, int]]:
        values = [
            submission(b'{"sleep_ms":1e999}'),
            submission(b'{"prompt":"\xc3\x28"}'),
            submission(b"[" * 5_000 + b"]" * 5_000),
            submission(b"{}", more=b',"expires_ms":9223372036854775808'),
            b"",
            b"x" * 60_000,
        ]
        headers = [("ce_id", uuid.uuid4().hex.encode()), ("ce_source", SOURCE.encode())]
        try:
            found = [producer.send_and_wait(SUBMISSIONS, value, key=b"bad", headers=headers) for value in values]
        except DeliveryUnclear:  # the broker is away: once more, all of them
            return []
        return [(one.partition, one.offset) for one in found]

    def _to_jobs(self, producer: Producer) -> list[tuple[int, int]]:
        """Bytes without sense; words of an operator and of a node that somebody forged."""
        known = installation_keys(self._here.layout.installation_keys.read_text())[0]
        job = self._chance.choice(self._acked() or [job_id_of_event("main", "demo", SOURCE, "none")])
        signed: list[tuple[SigningKey | None, Wire]] = [
            (None, CancelRequested(job, "")),
            (InstallationKey(b"x" * 32).of("operator.owner"), CancelRequested(job, "")),
            (known.of(node_signer("local", NODES[0])), NodeCordonRequested(NODES[1])),
            (known.of(node_signer("local", NODES[0])), NodeHeartbeat(NODES[1], "forged")),
        ]
        try:
            found = [producer.send_and_wait(JOBS, b"x" * 100, key=b"bad", partition=0)]
            found += [_forged(producer, key, said) for key, said in signed]
        except DeliveryUnclear:
            return []
        return [(one.partition, one.offset) for one in found]


def _forged(producer: Producer, key: SigningKey | None, said: Wire) -> Delivery:
    event_id = uuid.uuid4().hex
    record = RecordSigner(key).record(said, partition=0, key=event_id.encode(), event_id=event_id, source=SOURCE)
    return jobs_writer.send_and_wait(producer, record)
