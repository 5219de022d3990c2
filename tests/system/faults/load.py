"""Jobs that come all the while, over HTTP and over Kafka, and are sent again until they are acknowledged."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
import uuid
from typing import Any

import httpx

from cli.api_client import ApiClient
from cli.errors import CommandFailed
from runtime.kafka import DeliveryUnclear
from tests.system.faults.timetable import GANGS
from tests.system.installation import Installation
from tests.system.senders import Feeder

MODELS = ("noop",) * 8 + tuple(GANGS)
TIERS = ("api", "enterprise", "unlimited", "light", "free")
SLEEPS_MS = (0, 20, 150, 600) * 4 + (5_000,)
WORDS = "vermilion walrus"
"""In every prompt; must be found in `jobs` and `submissions` and nowhere else."""
BY_KAFKA = 5
"""Every so manieth job comes over Kafka."""
ACKED_WITHIN_S = 120.0
TENANT = "demo"


class Submitter(threading.Thread):
    """Submits until `count` jobs are acknowledged, whatever happens meanwhile: one way is one thread."""

    def __init__(self, here: Installation, count: int, seed: int, span_s: float, *, by_kafka: bool) -> None:
        """The jobs are spread over `span_s`."""
        super().__init__(daemon=True)
        self._here, self._count, self._by_kafka = here, count, by_kafka
        self._random = random.Random(f"{seed} {by_kafka}")
        self._pause_s = span_s / max(1, count)
        self.acked: list[str] = []
        self.unfound: list[str] = []
        """Jobs that got a 202 and were not known to the API right after it."""
        self.slowest_s = 0.0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            if self._by_kafka:
                feeder = Feeder(self._here)
                self._spread(lambda number: self._to_kafka(feeder, number))
                feeder.close()
            else:
                with self._here.api() as client:
                    self._spread(lambda number: self._to_api(client, number))
        except BaseException as failure:
            self.failure = failure

    def _spread(self, submit: Any) -> None:
        begun_s = time.monotonic()
        for number in range(self._count):
            due_s = begun_s + (number + self._random.random()) * self._pause_s
            time.sleep(max(0.0, due_s - time.monotonic()))
            sent_s = time.monotonic()
            self.acked.append(submit(number))
            self.slowest_s = max(self.slowest_s, time.monotonic() - sent_s)

    def _inputs(self, number: int) -> dict[str, Any]:
        return {"prompt": f"{WORDS} number {number}", "sleep_ms": self._random.choice(SLEEPS_MS)}

    def _with_file(self) -> dict[str, Any]:
        """Every other job of the noop model leaves a file."""
        return {"output_bytes": 10_000} if self._random.random() < 0.5 else {}

    def _to_api(self, client: ApiClient, number: int) -> str:
        key = uuid.UUID(int=self._random.getrandbits(128)).hex
        model = self._random.choice(MODELS)
        body = {
            "model": model,
            "tier": self._random.choice(TIERS),
            "inputs": self._inputs(number) | ({} if model in GANGS else self._with_file()),
        }

        def send() -> str:
            answer: dict[str, Any] = client.post("/v1/jobs", body, {"Idempotency-Key": key})
            return str(answer["job"])

        job = _until_acked(send, (CommandFailed, httpx.HTTPError))
        with contextlib.suppress(CommandFailed, httpx.HTTPError):  # killed or away by now: that says nothing of the job
            if client.text(f"/v1/jobs/{job}") is None:
                self.unfound.append(job)
        return job

    def _to_kafka(self, feeder: Feeder, number: int) -> str:
        event = uuid.UUID(int=self._random.getrandbits(128)).hex
        inputs = json.dumps(self._inputs(number) | self._with_file()).encode()
        return _until_acked(lambda: feeder.job(TENANT, "noop", inputs, event), (DeliveryUnclear,))


def _until_acked(send: Any, not_yet: tuple[type[Exception], ...]) -> str:
    """The job, which has one name however often it is sent."""
    deadline_s = time.monotonic() + ACKED_WITHIN_S
    while True:
        try:
            return str(send())
        except not_yet:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.2)
