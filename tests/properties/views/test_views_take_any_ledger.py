"""Whatever a ledger holds, the views take it: what cannot be shown of a job sets that job aside, and every other job,
node and cluster is shown as if nothing had been."""

from __future__ import annotations

import os
from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.codec import decode_batch, encode
from tests.properties.scheduling.worlds import STEPS
from tests.properties.views.test_views_are_the_fold import live_twice
from tests.properties.views.wild import CUTS, WILDS, cut_up, events_of, gone_wild
from tests.properties.weighted import weighted
from tests.unit.scheduling.specification import POLICY, POOL, a_job
from tests.unit.views.tables import Tables
from views.rows import UNREADABLE

LIVES = settings(max_examples=int(os.environ.get("EXAMPLES", "40")), deadline=None, derandomize=True)
"""The same examples every time: how many jobs are set aside is part of the claim."""

PLACE = frozenset({"job", "dispatch", "node", "session", "cluster", "members", "version", "attempt", "nodes"})
"""Fields that say where an attempt is, and what runs: nodes and clusters are shown by these."""
KEPT = ("attempts", "events", "copies", "nodes", "clusters", "versions", "aliases", "in_clusters", "in_nodes", "policy")


def tables_of(batches) -> Tables:
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


def test_a_job_that_cannot_be_shown_is_set_aside_alone() -> None:
    ends: Counter[str] = Counter()

    @LIVES
    @given(STEPS, st.integers(0, 11), weighted((6, WILDS), (1, st.just([]))))
    def holds(steps, number, wilds) -> None:
        job = a_job(number)
        batches = live_twice(POLICY, steps).batches
        wild = gone_wild(batches, wilds, job, PLACE)
        assert [decode_batch(encode(batch)) for batch in wild] == wild, "a ledger's reader takes it"
        if not events_of(batches, job):
            return
        clean, tables = tables_of(batches), tables_of(wild)
        assert without(tables, job) == without(clean, job)
        row = tables.jobs.get(job)
        ends["unreadable" if row is not None and row.state == UNREADABLE else "shown"] += 1
        if row is None or row.state != UNREADABLE:
            return
        assert (row.job, row.pool) == (job, POOL)
        assert row.reason.startswith("ledger offset ")
        assert tables.counters["JobUnreadable"] == len(tables.aside) > 0
        assert {aside.job for aside in tables.aside} == {job}
        assert (row.ended_ms is None) == (clean.jobs[job].ended_ms is None), "whether it has ended is known"
        assert row.erasure == clean.jobs[job].erasure, "an erasure is on record"

    holds()
    assert min(ends["unreadable"], ends["shown"]) >= ends.total() / 12, ends


@LIVES
@given(STEPS, WILDS, CUTS)
def test_no_ledger_stops_the_views(steps, wilds, cuts) -> None:
    """`Tables` raises where Postgres would."""
    batches = cut_up(gone_wild(live_twice(POLICY, steps).batches, wilds), cuts)
    one_by_one, at_once = tables_of(batches), Tables(POOL)
    at_once.take(enumerate(batches))
    assert at_once.all_rows() == one_by_one.all_rows()
    counted = {key: count for key, count in one_by_one.counts.items() if count}
    assert counted == Counter((row.tenant, row.tier, row.state) for row in one_by_one.jobs.values())
    shown = Counter((row.cluster, row.state) for row in one_by_one.attempts.values() if row.is_open)
    assert +one_by_one.in_clusters == shown


def test_the_times_and_places_of_a_record_may_be_anything() -> None:
    batch = live_twice(POLICY, []).batches[1]
    wild = msgspec.structs.replace(batch, now_ms=2**70, position=2**70, elapsed_ms=-1)
    tables = tables_of([wild])
    assert tables.policy is not None
    assert tables.policy.adopted_ms == 2**63 - 1
