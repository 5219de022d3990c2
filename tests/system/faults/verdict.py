"""What a running stack must show after a run. AssertionError says what does not hold."""

from __future__ import annotations

import time
from collections.abc import Sequence

import httpx

from cli.api_client import ApiClient
from cli.errors import CommandFailed
from local import stack
from tests.system.faults.ledger_facts import LedgerFacts, ledger_now
from tests.system.faults.load import WORDS
from tests.system.faults.timetable import NODES
from tests.system.installation import Installation, wait_ended, words_found
from tests.system.senders import quarantined
from tests.waiting import until

CURRENT_WITHIN_S = 20.0
"""From the end of the last fault until all parts are ready, both nodes take work, and a job that is submitted then has
succeeded. A part that was killed four times in a minute is started again after 4 s (local.parts), a broker takes 6 s to
answer, and a node a lease to be heard of."""
DEFECTS = (
    b"Traceback (most recent call last)",
    b'"event": "ended by a defect"',
    b'"event": "unexpected"',
    b'"event": "background work failed"',
    b'"event": "result not stored"',
    b'"event": "a pool\'s host did not close well"',
    b'"event": "the ledger is damaged',
    b"the agent's loop stands still",
)
"""What no log may say, whatever is killed or away. `unexpected` is the API's answer 500."""
ENDED_WITHIN_S = 120.0
LOOK_EVERY_S = 1.0
"""The whole ledger is read at each look."""


def current_after_s(here: Installation) -> float:
    """How long until the stack is current: counted from the call."""
    begun_s = time.monotonic()
    until(here.all_ready, "every part is ready", ENDED_WITHIN_S)
    with here.api(operator=True) as operator, here.api() as client:
        until(lambda: _takes_work(operator), "both nodes take work", ENDED_WITHIN_S)
        job = until(lambda: _submitted(client), "a job is taken", ENDED_WITHIN_S)
        wait_ended(client, [job], ENDED_WITHIN_S)
    url = stack.settings(here.data).api_url
    until(lambda: httpx.get(f"{url}/readyz", timeout=10, trust_env=False).status_code == 200, "readyz says so", 60)
    return time.monotonic() - begun_s


def _takes_work(operator: ApiClient) -> bool:
    try:
        nodes = operator.get("/v1/nodes")["nodes"]
        (pool,) = operator.get("/v1/policy")["pools"]
        (cluster,) = operator.get("/v1/clusters")["clusters"]
    except CommandFailed:
        return False
    free = [node for node in nodes if node["state"] == "ready" and node["cordoned"] != "operator"]
    return {node["node"] for node in free} >= set(NODES) and not pool["held"] and cluster["state"] == "active"


def _submitted(client: ApiClient) -> str:
    try:
        return str(client.post("/v1/jobs", {"model": "noop", "tier": "api", "inputs": {}})["job"])
    except CommandFailed:
        return ""


def check_ends(here: Installation, acked: Sequence[str]) -> LedgerFacts:
    """Each acknowledged job has ended, and its owner sees that. What the ledger says by then."""
    kafka = stack.settings(here.data).brokers

    end_s = time.monotonic() + ENDED_WITHIN_S
    while open_jobs := (facts := ledger_now(kafka)).open_of(acked):
        assert time.monotonic() < end_s, f"expected {len(acked)} jobs to end, found open: {open_jobs[:5]}"
        time.sleep(LOOK_EVERY_S)
    with here.api() as client:
        wait_ended(client, acked, ENDED_WITHIN_S)
    return facts


def check_quarantine(here: Installation, refused: set[tuple[str, int, int]]) -> None:
    """Each bad record is in quarantine: once, or once more where whoever put it there was killed meanwhile."""
    kafka = stack.settings(here.data).brokers
    until(lambda: quarantined(kafka).keys() >= refused, "every bad record is in quarantine", 60)


def check_logs(here: Installation) -> None:
    """No part of ours met a defect of ours."""
    found = {words.decode(): [path.name for path in words_found(words, here.layout.logs)] for words in DEFECTS}
    said = {words: names for words, names in found.items() if names}
    assert not said, f"expected no log to tell of a defect, found {said}"


def check_words(here: Installation) -> None:
    """The prompts' words are in `jobs`, and in no ledger, log or metric."""
    logs = here.layout.kafka
    of_ledger = [path for path in logs.rglob("ledger-*") if path.is_dir()]
    of_jobs = [path for path in logs.rglob("jobs-*") if path.is_dir()]
    assert of_ledger
    assert of_jobs
    assert words_found(WORDS.encode(), *of_jobs), "the words are where they should be: this check can fail"
    assert words_found(WORDS.encode(), *of_ledger, here.layout.logs) == []
    status = stack.status(here.data)
    others = [part.port for part in status.parts if part.port and part.name not in ("kafka", "postgres", "s3", "api")]
    for url in [status.api_metrics_url, *(f"http://127.0.0.1:{port}/metrics" for port in others)]:
        metrics = httpx.get(url).text
        assert "headrace" in metrics
        assert WORDS not in metrics
