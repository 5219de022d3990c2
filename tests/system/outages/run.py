"""One outage of one server."""

from __future__ import annotations

import collections
import itertools
import json
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from cli.api_client import ApiClient
from cli.errors import CommandFailed
from contract.codec import decode_batch
from contract.events import AttemptClosed, AttemptFailed, JobDispatched, JobSucceeded
from contract.topics import LEDGER
from local import stack
from runtime.kafka import offsets, read_range
from tests.system.breaking import frozen, read_only
from tests.system.installation import NOOP, POLICY, Installation, installation, wait_ended
from tests.system.outages.findings import OutageFindings, Witness
from tests.system.outages.load import Load
from tests.system.outages.memory import Memory
from tests.waiting import until

SLOTS = 4
POLICY_CHANGES = {"node_lease: 4s": "node_lease: 30s", "words_kept: 30s": "words_kept: 2h"}
PARTS_OF = {"store": "s3"}
ACROSS_S = 5.0
"""How long the second witness computes after the end."""
GIVE_UP_S = 120.0
OUTCOMES_WITHIN_S = 60.0
"""And the length of the outage once more: what was acknowledged meanwhile waits for a free slot."""


class Facts:
    """What the ledger says by now."""

    def __init__(self, here: Installation) -> None:
        kafka = stack.settings(here.data).brokers
        self.at_ms: list[int] = []
        """Append time of each record."""
        self.failures = 0
        self.succeeded_ms: dict[str, int] = {}
        """By job."""
        self.dispatched_ms: dict[str, int] = {}
        """By job: its last attempt."""
        for record in read_range(kafka, LEDGER, 0, *offsets(kafka, LEDGER, 0)):
            self.at_ms.append(record.timestamp_ms)
            for event in decode_batch(record.value).events:
                match event:
                    case AttemptFailed() | AttemptClosed(counts=True):
                        self.failures += 1
                    case JobSucceeded():
                        self.succeeded_ms[event.job] = record.timestamp_ms
                    case JobDispatched():
                        self.dispatched_ms[event.job] = record.timestamp_ms

    def silence_s(self, from_ms: int, to_ms: int) -> float:
        """The longest time without a record between the two."""
        inside = [from_ms, *(at_ms for at_ms in self.at_ms if from_ms < at_ms < to_ms), to_ms]
        return max(after - before for before, after in itertools.pairwise(inside)) / 1000

    def began_and_ended_after(self, ms: int) -> bool:
        return any(at_ms > ms and self.dispatched_ms.get(job, 0) > ms for job, at_ms in self.succeeded_ms.items())


def run(data: Path, server: str, lasts_s: float, every_s: float = 30.0) -> OutageFindings:
    """The outage, and what became of it: `require_clean` is the verdict."""
    policy = data / "policy.yaml"
    words = POLICY.read_text()
    for short, long in POLICY_CHANGES.items():
        assert short in words
        words = words.replace(short, long)
    policy.write_text(words)
    with installation(data / "stack", policy=policy, nodes=1, slots=SLOTS) as here, here.api() as client:
        here.json("models", "publish", str(_patient_noop(data / "noop")))
        load = Load(here)
        load.start()
        until(lambda: len(load.acked) > 10, "jobs are taken", 60)
        inside = _started(client, int(lasts_s * 500))
        across = _started(client, int((lasts_s + ACROSS_S) * 1000))
        restarts = _restarts(here)
        memory = Memory(here)
        holding = ""
        from_ms = _now_ms()
        with _outage(here, server):
            memory.sample(f"{server} is away")
            begun_s = time.monotonic()
            while (gone_s := time.monotonic() - begun_s) < lasts_s:
                time.sleep(max(0.0, min(every_s, lasts_s - gone_s)))
                memory.sample()
                if server == "store":
                    holding = holding or _holding(here)
        to_ms = _now_ms()
        by_part = memory.by_part(lasts_s)
        current_s = _current_after_s(here, client, inside, to_ms)
        memory.sample("all is current again")
        load.finish()
        for job in load.fed:
            until(partial(_state, client, job), "what came over Kafka is known", GIVE_UP_S)
        ended = wait_ended(client, [*load.acked, inside, across], OUTCOMES_WITHIN_S + lasts_s)
        facts, after = Facts(here), _restarts(here)
        can_report = server in ("postgres", "read-only")
        return OutageFindings(
            server,
            lasts_s,
            load.answers,
            load.slowest_s,
            facts.silence_s(from_ms, to_ms),
            len(load.acked),
            len(load.unfound),
            collections.Counter(job["state"] for job in ended.values()),
            facts.failures,
            _witness(ended[inside], facts, lambda at_ms: not can_report or from_ms < at_ms < to_ms),
            _witness(ended[across], facts, lambda at_ms: at_ms > to_ms),
            holding,
            {part: after[part] - restarts[part] for part in after if after[part] != restarts[part]},
            by_part,
            current_s,
            _verify_findings(here),
        )


def _patient_noop(directory: Path) -> Path:
    """The noop model with an hour's time limit."""
    shutil.copytree(NOOP, directory)
    description = directory / "model.yaml"
    description.write_text(description.read_text().replace("timeout_s: 60", "timeout_s: 3600"))
    return directory


def _outage(here: Installation, server: str) -> AbstractContextManager[None]:
    if server == "read-only":
        return read_only(here)
    return frozen(here, PARTS_OF.get(server, server), with_children=True)


def _started(client: ApiClient, sleep_ms: int) -> str:
    """A job that computes so long and leaves a file, once it has started."""
    inputs = {"sleep_ms": sleep_ms, "output_bytes": 1_000}
    job = str(client.post("/v1/jobs", {"model": "noop", "tier": "enterprise", "inputs": inputs})["job"])
    until(lambda: client.get(f"/v1/jobs/{job}")["job"]["state"] == "started", "a witness has started", 60)
    return job


def _witness(found: dict[str, Any], facts: Facts, in_time: Callable[[int], bool]) -> Witness:
    at_ms = facts.succeeded_ms.get(found["job"], 0)
    return Witness(found["state"], found["attempts"], in_time(at_ms))


def _holding(here: Installation) -> str:
    """Why the node takes nothing new, as an operator sees it."""
    with here.api(operator=True) as operator:
        return str(operator.get("/v1/nodes")["nodes"][0]["holding"])


def _current_after_s(here: Installation, client: ApiClient, inside: str, to_ms: int) -> float:
    """How long after the end until all parts say that they do their work, a job that is submitted now is queued by the
    scheduler and seen in the views, the first witness has ended, and a job has begun and ended since."""
    begun_s = time.monotonic()
    job = until(lambda: _submitted(client), "a job is taken", GIVE_UP_S)
    until(lambda: _state(client, job) not in ("", "submitted"), "the scheduler's word of it is seen", GIVE_UP_S)
    until(lambda: _state(client, inside) == "succeeded", "the result that waited is stored", GIVE_UP_S)
    until(lambda: Facts(here).began_and_ended_after(to_ms), "new work begins and ends", GIVE_UP_S)
    url = stack.settings(here.data).api_url
    until(lambda: httpx.get(f"{url}/readyz", timeout=10, trust_env=False).status_code == 200, "all is ready", GIVE_UP_S)
    return time.monotonic() - begun_s


def _submitted(client: ApiClient) -> str:
    try:
        return str(client.post("/v1/jobs", {"model": "noop", "tier": "unlimited", "inputs": {}})["job"])
    except CommandFailed:  # not yet: the caller tries again
        return ""


def _state(client: ApiClient, job: str) -> str:
    try:
        return str(client.get(f"/v1/jobs/{job}")["job"]["state"])
    except CommandFailed:
        return ""


def _verify_findings(here: Installation) -> int:
    """How many; the command ends with 1 when there are some."""
    said = here.cli("audit", "verify", "-o", "json", within_s=300).stdout
    return sum(len(verdict["findings"]) for verdict in json.loads(said))


def _restarts(here: Installation) -> dict[str, int]:
    return {part.name: part.restarts for part in stack.status(here.data).parts}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
