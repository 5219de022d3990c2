"""`python -m bench.shares`: how long one tenant waits for its answers while another takes all that it can get.

A whole stack; every 25 ms the quiet tenant asks for a job, lists its jobs or submits one. For each way to be greedy it
is measured idle, then beside the greedy one, several times in turn: the ratio tells, since all share one machine.
Greed is a process of its own, but on two cores it takes processor time from the API that a remote client would not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
from sqlalchemy import text

from bench import headrace_arm, measure
from bench.greedy import KINDS
from local.options import Layout
from local.postgres_server import OWNER, PostgresServer
from registry import keys
from runtime.postgres import engine
from runtime.settings import Settings

EVERY_S = 0.025
SETTLE_S = 2.0
HISTORY_JOBS = 5_000
"""Of the greedy tenant, through the whole path: what a `why` reads."""
ROWS = 300_000
"""Of the greedy tenant, put into the views alone: what a listing with a filter looks through."""
GREEDY, QUIET = "bench", "quiet"

_ROWS = text(
    "INSERT INTO views.jobs SELECT 'main-' || md5(n::text), 'main', :tenant, 'api', 'stamp', 'v', 'succeeded', n, 0,"
    " n, n, n, n, 1, 0, '', '', '', '', '', NULL FROM generate_series(1, :rows) n"
)


class Waited(msgspec.Struct, frozen=True):
    """How long the quiet tenant waited for its answers."""

    answers: int
    refused: int
    p50_ms: float
    p95_ms: float
    max_ms: float


class Beside(msgspec.Struct, frozen=True):
    """One way to be greedy, in one round."""

    kind: str
    idle: Waited
    beside: Waited
    greedy: dict[str, int]
    """Answers to the greedy one, by status."""


class QuietTenant:
    """Asks one thing after the other, each when it is due."""

    def __init__(self, url: str, secret: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=60)
        self._inputs = {"sent_ns": 0, "series": "quiet"}
        self._job = self._submit().json()["job"]

    def _submit(self) -> httpx.Response:
        return self._http.post("/v1/jobs", json={"model": "stamp", "inputs": self._inputs})

    def ask(self, seconds: float) -> Waited:
        asked = (
            lambda: self._http.get(f"/v1/jobs/{self._job}"),
            lambda: self._http.get("/v1/jobs?limit=20"),
            self._submit,
        )
        waits, refused, begun = [], 0, time.perf_counter()
        for number in range(int(seconds / EVERY_S)):
            if (ahead := begun + number * EVERY_S - time.perf_counter()) > 0:
                time.sleep(ahead)
            sent = time.perf_counter()
            try:
                refused += not asked[number % len(asked)]().is_success
            except httpx.TransportError:
                refused += 1
            waits.append((time.perf_counter() - sent) * 1000)
        waits.sort()
        return Waited(len(waits), refused, measure.quantile(waits, 0.5), measure.quantile(waits, 0.95), waits[-1])


@contextmanager
def greed(kind: str, url: str, secret: str, job: str) -> Iterator[dict[str, int]]:
    """The greedy one, at work. What it was answered stands in the value afterwards."""
    answers: dict[str, int] = {}
    command = [sys.executable, "-m", "bench.greedy", kind, url, secret, job]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield answers
    finally:
        said, _ = process.communicate("", timeout=60)
        answers |= json.loads(said or "{}")


def lasting_job(settings: Settings, secret: str) -> str:
    """A job that waits as long as the benchmark lasts: its streams do not end, and its wait takes long to explain."""
    with httpx.Client(base_url=settings.api_url, headers={"Authorization": f"Bearer {secret}"}) as http:
        asked = {"model": "unique", "inputs": {"items": []}}
        job: str = http.post("/v1/jobs", json=asked).raise_for_status().json()["job"]
    return job


def fill_views(data: Path, settings: Settings) -> None:
    """A large history of the greedy tenant. Only the owner of the tables may write them beside the projector."""
    layout = Layout(data)
    url = PostgresServer(layout.postgres, layout.logs).url_of(OWNER)
    owner = engine(settings.model_copy(update={"database_url": url}))
    with owner.begin() as connection:
        connection.execute(_ROWS, {"tenant": GREEDY, "rows": ROWS})
    owner.dispose()


def measured(seconds: float, rounds: int) -> list[Beside]:
    found = []
    with headrace_arm.running() as (data, settings):
        headrace_arm.publish(settings, headrace_arm.HERE / "models" / "unique")
        database = engine(settings)
        secret = keys.create(database, GREEDY, ["api"])
        quiet = QuietTenant(settings.api_url, keys.create(database, QUIET, ["api"]))
        job = lasting_job(settings, secret)
        submitter = headrace_arm.Submitter(settings)
        submitter.send("history", HISTORY_JOBS, 0)
        headrace_arm.started(data, "history", HISTORY_JOBS, 120)
        submitter.close()
        fill_views(data, settings)
        quiet.ask(SETTLE_S)
        for number in range(1, rounds + 1):
            for kind in KINDS:
                idle = quiet.ask(seconds)
                with greed(kind, settings.api_url, secret, job) as answers:
                    quiet.ask(SETTLE_S)
                    beside = quiet.ask(seconds)
                found.append(Beside(kind, idle, beside, answers))
                print(f"round {number}  {found[-1]}", file=sys.stderr, flush=True)
                quiet.ask(SETTLE_S)
        database.dispose()
    return found


def page(found: list[Beside]) -> str:
    lines = [
        "| another tenant's clients | p50 idle | beside | ratio | p95 idle | beside | ratio | answers to them |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        its = [one for one in found if one.kind == kind]
        middle = measure.median_of(its, lambda one: one.beside.p50_ms / one.idle.p50_ms)
        idle, beside = middle.idle, middle.beside
        said = ", ".join(f"{count} × {status}" for status, count in sorted(middle.greedy.items()))
        lines.append(
            f"| {kind} | {idle.p50_ms:.1f} ms | {beside.p50_ms:.1f} ms | {beside.p50_ms / idle.p50_ms:.1f}"
            f" | {idle.p95_ms:.1f} ms | {beside.p95_ms:.1f} ms | {beside.p95_ms / idle.p95_ms:.1f} | {said} |"
        )
        lines += [
            f"{one.beside.refused} answers to the quiet tenant were refusals" for one in its if one.beside.refused
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.shares", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    given = parser.parse_args()
    print(page(measured(given.seconds, given.rounds)))


if __name__ == "__main__":
    main()
