"""Whatever a ledger holds, the views take it: what cannot be shown of a job sets that job aside, and every other job,
node and cluster is shown as if nothing had been."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.batch import Batch
from contract.codec import decode_batch, encode
from contract.events import JobAccepted, JobPreparing
from tests.properties.scheduling.worlds import STEPS, WHAT, Step
from tests.properties.views.twice_lived import live_twice
from tests.properties.views.wild import CUTS, WILDS, Wild, cut_up, gone_wild, some
from tests.unit.audit.media_story import MediaStory
from tests.unit.scheduling.specification import POLICY, POOL
from tests.unit.views.tables import Tables
from views.rows import UNREADABLE

LIVES = settings(max_examples=int(os.environ.get("EXAMPLES", "40")), deadline=None)

PLACE = frozenset(
    {"job", "dispatch", "preparation", "node", "session", "cluster", "members", "version", "attempt", "nodes"}
)
"""Fields that say where an attempt is, and what runs: nodes and clusters are shown by these."""
KEPT = (
    "attempts",
    "events",
    "copies",
    "nodes",
    "clusters",
    "versions",
    "withdrawals",
    "aliases",
    "in_clusters",
    "in_nodes",
    "policy",
)


def tables_of(batches: Iterable[Batch]) -> Tables:
    tables = Tables(POOL)
    for record in enumerate(batches):
        tables.take([record])
    return tables


def without(tables: Tables, job: str) -> dict[str, object]:
    """What the tables say of all but this job."""
    rows = {name: getattr(tables, name) for name in KEPT}
    for name in ("attempts", "events", "copies"):
        rows[name] = {key: row for key, row in rows[name].items() if key[0] != job}
    jobs = {name: row for name, row in tables.jobs.items() if name != job}
    return {**rows, "jobs": jobs, "in_clusters": +rows["in_clusters"], "in_nodes": +rows["in_nodes"]}


def set_aside_alone(steps: list[Step], number: int, wilds: list[Wild]) -> str:
    """What became of the one job of which the ledger says something wild. All other jobs are as they were."""
    return aside_in(live_twice(POLICY, steps).batches, number, wilds)


def aside_in(batches: list[Batch], number: int, wilds: list[Wild]) -> str:
    begun = JobAccepted | JobPreparing
    jobs = sorted({event.job for batch in batches for event in batch.events if isinstance(event, begun)})
    if not jobs:
        return "none"
    job = jobs[number % len(jobs)]
    wild = gone_wild(batches, wilds, job, PLACE)
    assert [decode_batch(encode(batch)) for batch in wild] == wild, "a ledger's reader takes it"
    clean, tables = tables_of(batches), tables_of(wild)
    assert without(tables, job) == without(clean, job)
    row = tables.jobs.get(job)
    if row is None or row.state != UNREADABLE:
        return "shown"
    assert (row.job, row.pool) == (job, POOL)
    assert row.reason.startswith("ledger offset ")
    assert tables.counters["JobUnreadable"] == len(tables.omissions) > 0
    assert {omission.job for omission in tables.omissions} == {job}
    assert (row.ended_ms is None) == (clean.jobs[job].ended_ms is None), "whether it has ended is known"
    assert row.erasure == clean.jobs[job].erasure, "an erasure is on record"
    return "unreadable"


@LIVES
@given(STEPS, st.integers(0, 11), WILDS)
def test_a_job_that_cannot_be_shown_is_set_aside_alone(steps: list[Step], number: int, wilds: list[Wild]) -> None:
    set_aside_alone(steps, number, wilds)


@LIVES
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), WILDS)
def test_so_is_a_job_whose_media_are_prepared(seed: int, number: int, wilds: list[Wild]) -> None:
    aside_in(MediaStory(seed).run(50).batches, number, wilds)


def test_of_any_ledgers_many_jobs_are_set_aside_and_many_are_not() -> None:
    """A property whose examples are all of one kind says little: here each kind is more than a third."""
    chance, ends = Random(7), Counter[str]()
    for number in range(60):
        steps = [
            (chance.choice(WHAT), chance.randrange(12), chance.randrange(8), chance.choice((0, 1, 700, 5_000)))
            for _ in range(40)
        ]
        ends[set_aside_alone(steps, number, some(number, 2 + number % 4))] += 1
    assert min(ends["unreadable"], ends["shown"]) * 3 >= ends.total(), ends


@LIVES
@given(STEPS, WILDS, CUTS)
def test_no_ledger_stops_the_views(steps: list[Step], wilds: list[Wild], cuts: list[tuple[str, int]]) -> None:
    """`Tables` raises where Postgres would."""
    check_any(cut_up(gone_wild(live_twice(POLICY, steps).batches, wilds), cuts))


@LIVES
@given(st.integers(0, 2**32 - 1), WILDS, CUTS)
def test_no_ledger_with_media_stops_the_views(seed: int, wilds: list[Wild], cuts: list[tuple[str, int]]) -> None:
    check_any(cut_up(gone_wild(MediaStory(seed).run(50).batches, wilds), cuts))


def check_any(batches: list[Batch]) -> None:
    one_by_one, at_once = tables_of(batches), Tables(POOL)
    at_once.take(enumerate(batches))
    assert at_once.all_rows() == one_by_one.all_rows()
    counted = {key: count for key, count in one_by_one.counts.items() if count}
    assert counted == Counter((row.tenant, row.tier, row.state) for row in one_by_one.jobs.values())
    shown = Counter((row.cluster, row.state) for row in one_by_one.attempts.values() if row.is_open)
    shown.update((row.prepare_cluster, "staged") for row in one_by_one.jobs.values() if row.prepare_cluster)
    assert +one_by_one.in_clusters == shown


def test_the_times_and_places_of_a_record_may_be_anything() -> None:
    batch = live_twice(POLICY, []).batches[1]
    wild = msgspec.structs.replace(batch, now_ms=2**70, position=2**70, elapsed_ms=-1)
    tables = tables_of([wild])
    assert tables.policy is not None
    assert tables.policy.adopted_ms == 2**63 - 1
