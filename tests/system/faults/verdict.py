"""What must hold after a run. AssertionError says what does not."""

from __future__ import annotations

import collections
import time
from collections.abc import Sequence

import httpx

from cli.api_client import ApiClient
from cli.errors import CommandFailed
from contract.topics import JOBS
from local import stack
from tests.system.faults.ledger_facts import LedgerFacts
from tests.system.faults.load import GANGS, WORDS
from tests.system.faults.timetable import NODES
from tests.system.installation import Installation, wait_ended, words_found
from tests.system.senders import quarantined
from tests.waiting import until

CURRENT_WITHIN_S = 20.0
"""From the end of the last fault until all parts are ready, both nodes take work, and a job that is submitted then has
succeeded. A part that was killed four times in a minute is started again after 4 s (local.parts), a broker takes 6 s to
answer, and a node a lease to be heard of."""
ENDED_WITHIN_S = 120.0
LOOK_EVERY_S = 1.0
"""The whole ledger is read at each look."""


class Struck:
    """What was done, as far as it may cost an attempt."""

    def __init__(self, done: Sequence[tuple[str, str]], slots: int) -> None:
        """`done`: (fault, target)."""
        self.children = sum(target == "child" for _, target in done)
        nodes = sum(target in NODES and fault != "cordoned" for fault, target in done)
        self.on_nodes = nodes * slots
        """A node that is killed, stands still, or has a twin may lose what runs there."""


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
    """Each acknowledged job is found by its owner and has ended exactly once, as a success."""
    kafka = stack.settings(here.data).kafka

    end_s = time.monotonic() + ENDED_WITHIN_S
    while open_jobs := (facts := LedgerFacts(kafka)).open_of(acked):
        assert time.monotonic() < end_s, f"expected {len(acked)} jobs to end, found open: {open_jobs[:5]}"
        time.sleep(LOOK_EVERY_S)
    assert len(set(acked)) == len(acked), "two submissions have one job"
    twice = {job: ends for job, ends in facts.ends.items() if len(ends) > 1}
    assert not twice, f"expected each job to end once, found {twice}"
    others = {job: facts.ends[job][0] for job in acked if facts.ends[job] != ["JobSucceeded"]}
    assert not others, f"expected each job to succeed, found {others}"
    with here.api() as client:
        wait_ended(client, acked, ENDED_WITHIN_S)
    return facts


def check_failures(facts: LedgerFacts, struck: Struck) -> str:
    """No attempt failed by an outage of ours: what failed is what was killed or stood still. A figure for the note."""
    assert len(facts.lost) <= struck.on_nodes, (
        f"expected at most {struck.on_nodes} attempts lost with their nodes, found {len(facts.lost)}: {facts.lost[:5]}"
    )
    kinds = collections.Counter(
        (event.kind, facts.models[event.job] in GANGS) for event in facts.failed if event.kind != "child_died"
    )
    strange = {kind: count for (kind, is_gang), count in kinds.items() if kind != "model_error" or not is_gang}
    assert not strange, f"expected no attempt to fail but by a kill, found {strange}"
    most = struck.children + struck.on_nodes
    assert len(facts.failed) + len(facts.lost) <= most, (
        f"expected at most {most} attempts to fail by what was done, found {len(facts.failed)} failed and"
        f" {len(facts.lost)} lost"
    )
    return f"{len(facts.failed)} failed, {len(facts.lost)} lost"


def check_refused(here: Installation, facts: LedgerFacts, refused: set[tuple[str, int, int]]) -> None:
    """Each bad record is in quarantine, and the ledger names those of `jobs` once."""
    kafka = stack.settings(here.data).kafka
    until(lambda: quarantined(kafka).keys() >= refused, "every bad record is in quarantine", 60)
    found = {offset: facts.set_aside[offset] for topic, _, offset in refused if topic == JOBS}
    assert set(found.values()) <= {1}, f"expected the ledger to name each record once that was set aside, found {found}"


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
