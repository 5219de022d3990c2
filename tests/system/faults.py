"""Kills at random: `python -m tests.system.faults --seed 1 --jobs 300 --kills 12`.

Submits jobs over HTTP while it kills scheduler, nodes, model processes, the API and the broker with SIGKILL at random
moments (one seeded generator decides what and when; the machine's own timing stays random). Then requires that every
acknowledged job ends exactly once, that no result was accepted twice, that `audit verify` is clean, and that no word
of any prompt is in the ledger, a log or a metric.
"""

from __future__ import annotations

import argparse
import collections
import random
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

from cli.api_client import ApiClient
from cli.errors import CommandFailed
from contract.batch import hash_of
from contract.codec import decode_batch
from local import stack
from runtime.kafka import offsets, read_range
from tests.gang_model import gang_model
from tests.system.installation import Installation, installation, wait_ended, words_found
from tests.waiting import until

TARGETS = ("scheduler", "node-1", "node-2", "child", "api", "kafka")
GANGS = {"gang-of-2": 2, "gang-of-5": 5}
"""Models by their ranks: on nodes of four slots, the second needs both."""
MODELS = ("noop",) * 8 + tuple(GANGS)
WORDS = "vermilion walrus"
"""In every prompt; must be found in `jobs` and nowhere else."""
TERMINAL_EVENTS = frozenset(
    {"JobSucceeded", "JobDeadLettered", "JobQuarantined", "JobCancelled", "JobExpired", "JobRefused"}
)


class Submitter(threading.Thread):
    """Submits until `count` jobs are acknowledged, whatever happens to the API meanwhile."""

    def __init__(self, here: Installation, count: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._here, self._count = here, count
        self._random = random.Random(seed)
        self.acked: list[str] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with self._here.api() as client:
                for number in range(self._count):
                    self.acked.append(self._submit(client, number))
                    time.sleep(self._random.uniform(0.0, 0.04))
        except BaseException as failure:
            self.failure = failure

    def _submit(self, client: ApiClient, number: int) -> str:
        key = uuid.UUID(int=self._random.getrandbits(128)).hex
        body = {
            "model": self._random.choice(MODELS),
            "tier": self._random.choice(["api", "enterprise", "unlimited", "light", "free"]),
            "inputs": {"prompt": f"{WORDS} number {number}", "sleep_ms": self._random.choice([0, 20, 150, 600])},
        }
        deadline = time.monotonic() + 90
        while True:
            try:
                answer: dict[str, Any] = client.post("/v1/jobs", body, {"Idempotency-Key": key})
                return str(answer["job"])
            except (CommandFailed, httpx.HTTPError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def run(data: Path, seed: int, jobs: int, kills: int) -> None:
    """One run. AssertionError says what does not hold."""
    chance = random.Random(seed)
    with installation(data, nodes=2, slots=4) as here:
        here.publish_noop()
        for name, ranks in GANGS.items():
            here.json("models", "publish", str(gang_model(data / "models" / name, name, ranks)))
        submitter = Submitter(here, jobs, seed)
        submitter.start()
        struck: collections.Counter[str] = collections.Counter()
        for target in victims(chance, kills):
            time.sleep(chance.uniform(0.3, 1.5))
            strike(here, target)
            struck[target] += 1
        submitter.join(180)
        assert submitter.failure is None, f"a submission was never acknowledged: {submitter.failure!r}"
        assert len(submitter.acked) == jobs, f"expected {jobs} acknowledged jobs, found {len(submitter.acked)}"
        until(here.all_ready, "every part is up again", 60)
        with here.api() as client:
            ended = wait_ended(client, submitter.acked, 120)
        print(
            f"seed {seed}: struck {dict(struck)}; ended {dict(collections.Counter(j['state'] for j in ended.values()))}"
        )
        check_ledger(here, submitter.acked)
        verdicts = here.json("audit", "verify")
        assert [verdict["findings"] for verdict in verdicts] == [[]]
        check_words(here)


def victims(chance: random.Random, kills: int) -> list[str]:
    """Each target as often as any other (but for one), in a random order."""
    rounds = [chance.sample(TARGETS, len(TARGETS)) for _ in range(kills // len(TARGETS) + 1)]
    return [target for one in rounds for target in one][:kills]


def strike(here: Installation, target: str) -> None:
    """Kill it as soon as it runs."""

    def hit() -> bool:
        if target == "child":
            return here.kill_child("node-1") or here.kill_child("node-2")
        return here.kill(target)

    until(hit, f"{target} runs and can be killed", 60)


def check_ledger(here: Installation, acked: list[str]) -> None:
    """By a reader of its own: each acknowledged job ends exactly once, and no result is accepted twice."""
    kafka = stack.settings(here.data).kafka
    low, high = offsets(kafka, "ledger", 0)
    head = "0" * 64
    ends: collections.Counter[str] = collections.Counter()
    accepted: collections.Counter[str] = collections.Counter()
    for record in read_range(kafka, "ledger", 0, low, high):
        batch = decode_batch(record.value)
        if batch.prev_hash != head:
            continue  # a zombie's
        head = hash_of(record.value or b"")
        for event in batch.events:
            name = type(event).__name__
            if name in TERMINAL_EVENTS:
                ends[event.job] += 1  # type: ignore[union-attr]
            if name == "JobSucceeded":
                accepted[event.job] += 1  # type: ignore[union-attr]
    assert {job: ends[job] for job in acked if ends[job] != 1} == {}
    assert {job: count for job, count in accepted.items() if count != 1} == {}


def check_words(here: Installation) -> None:
    """The prompts' words are in `jobs`, and in no ledger, log or metric."""
    logs = here.layout.kafka
    of_ledger = [path for path in logs.rglob("ledger-*") if path.is_dir()]
    of_jobs = [path for path in logs.rglob("jobs-*") if path.is_dir()]
    assert of_ledger
    assert of_jobs
    assert words_found(WORDS.encode(), *of_jobs), "the words are where they should be: this check can fail"
    assert words_found(WORDS.encode(), *of_ledger, here.layout.logs) == []
    for part in stack.status(here.data).parts:
        if part.port and part.name not in ("kafka", "postgres", "s3"):
            metrics = httpx.get(f"http://127.0.0.1:{part.port}/metrics").text
            assert "headrace" in metrics
            assert WORDS not in metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--kills", type=int, default=15)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-faults-") as folder:
        run(Path(folder), given.seed, given.jobs, given.kills)


if __name__ == "__main__":
    main()
