"""Erasing a job: its words are gone from every topic's files, every object and every log; the history verifies."""

from __future__ import annotations

import json
import uuid

from cli.api_client import ApiClient
from tests.system.installation import Installation, words_found
from tests.waiting import until

KEPT_S = 30
"""words_kept in policy.yaml."""


def submit(client: ApiClient, words: str, key: str = "", **inputs: object) -> str:
    body = {"model": "noop", "inputs": {"prompt": words, **inputs}}
    answer = client.post("/v1/jobs", body, {"Idempotency-Key": key or uuid.uuid4().hex})
    return str(answer["job"])


def test_the_words_of_erased_jobs_are_gone(here: Installation) -> None:
    with here.api() as client:
        words = {kind: f"walrus-{kind}-{uuid.uuid4().hex}" for kind in ("ended", "running", "queued")}
        ended = submit(client, words["ended"], output_bytes=10)
        until(lambda: state(client, ended) == "succeeded", "the first job succeeded", 30)
        running = [submit(client, words["running"], sleep_ms=600_000) for _ in range(2)]
        until(lambda: all(state(client, job) == "started" for job in running), "both slots are taken", 30)
        blockers = [submit(client, "staged", sleep_ms=600_000) for _ in range(2)]
        queued = submit(client, words["queued"])
        assert words_found(words["queued"].encode(), here.layout.kafka), "this check can fail"
        for job in (ended, *running, queued):
            done = here.cli("jobs", "erase", job, "-o", "json", within_s=120)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["job"] == job
        for job in blockers:
            client.post(f"/v1/jobs/{job}/cancel", {})
        gone_from(here, [text.encode() for text in words.values()])
        assert client.get(f"/v1/jobs/{ended}")["job"]["erasure"] == "erased"
        assert [verdict["findings"] for verdict in here.json("audit", "verify")] == [[]]


def state(client: ApiClient, job: str) -> str:
    return str(client.get(f"/v1/jobs/{job}")["job"]["state"])


def gone_from(here: Installation, words: list[bytes]) -> None:
    until(
        lambda: not any(words_found(text, here.data) for text in words),
        "the erased words are in no file of the whole installation",
        3 * KEPT_S,
    )
