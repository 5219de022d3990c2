"""Reading the read models, and that no tenant reads another's."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import Engine

from contract import events as e
from contract.policy import fingerprint
from tests.unit.views.ledger import VERSION, Ledger, job_of, policy_of
from views import projection, queries, receipts, withdrawn


def fill(engine: Engine, ledger: Ledger, count: int, tenant: str) -> list[str]:
    jobs = [job_of(ledger.pool, f"{tenant}-{number}") for number in range(count)]
    for number, job in enumerate(jobs):
        tier = "api" if number % 2 else "free"
        if number < count // 2:
            ledger.run(job, tenant, tier)
        else:
            ledger.write(ledger.accepted(job, tenant, tier))
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
    return jobs


def test_pages_hold_every_job_once_newest_first(engine: Engine, ledger: Ledger) -> None:
    tenant = ledger.pool
    jobs = fill(engine, ledger, 11, tenant)
    seen: list[str] = []
    cursor = ""
    with engine.connect() as connection:
        for _ in range(4):
            page = queries.jobs(connection, tenant, limit=3, cursor=cursor)
            seen += [row.job for row in page.jobs]
            cursor = page.cursor
    assert seen == jobs[::-1]
    assert cursor == ""


def test_filters_are_by_state_tier_and_model(engine: Engine, ledger: Ledger) -> None:
    tenant = ledger.pool
    jobs = fill(engine, ledger, 8, tenant)
    with engine.connect() as connection:

        def found(state: str = "", tier: str = "", model: str = "") -> set[str]:
            page = queries.jobs(connection, tenant, state=state, tier=tier, model=model)
            return {row.job for row in page.jobs}

        assert found(state="succeeded") == set(jobs[:4])
        assert found(state="queued", tier="api") == {jobs[5], jobs[7]}
        assert found(model="noop") == set(jobs)
        assert found(model="absent") == set()
        counts = {(c.tier, c.state): c.jobs for c in queries.job_counts(connection, tenant)}
    assert counts == {
        ("free", "succeeded"): 2,
        ("api", "succeeded"): 2,
        ("free", "queued"): 2,
        ("api", "queued"): 2,
    }


def test_a_page_with_filters_looks_at_so_many_jobs_only_and_the_next_ones_find_the_rest(
    engine: Engine, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "SCANNED_MAX", 3)
    tenant = ledger.pool
    jobs = fill(engine, ledger, 8, tenant)  # the four oldest have succeeded
    pages: list[list[str]] = []
    cursor = ""
    with engine.connect() as connection:
        for _ in range(3):
            page = queries.jobs(connection, tenant, state="succeeded", cursor=cursor)
            pages.append([row.job for row in page.jobs])
            cursor = page.cursor
    assert pages == [[], jobs[2:4][::-1], jobs[:2][::-1]]
    assert cursor == ""


@pytest.mark.parametrize("cursor", ["x", "!!!!", "MTIzNDU", "MTIuAA", "OTk5OTk5OTk5OTk5OTk5OTk5OS5h", "é"])
def test_a_cursor_that_no_page_gave_is_refused(engine: Engine, cursor: str) -> None:
    with engine.connect() as connection, pytest.raises(queries.CursorInvalid, match="earlier page"):
        queries.jobs(connection, "acme", cursor=cursor)


def test_no_query_shows_another_tenants_job(engine: Engine, ledger: Ledger) -> None:
    mine, theirs = ledger.pool + "m", ledger.pool + "t"
    (job, *_) = fill(engine, ledger, 2, theirs)
    fill(engine, ledger, 2, mine)
    with engine.connect() as connection:
        assert queries.job(connection, theirs, job) is not None
        assert queries.job(connection, mine, job) is None
        assert queries.attempts(connection, theirs, job)
        assert queries.attempts(connection, mine, job) == []
        assert queries.job_events(connection, theirs, job)
        assert queries.job_events(connection, mine, job) == []
        assert queries.new_job_events(connection, {(theirs, job): (-1, -1)})
        assert queries.new_job_events(connection, {(mine, job): (-1, -1)}) == []
        assert job not in {row.job for row in queries.jobs(connection, mine).jobs}
        assert sum(count.jobs for count in queries.job_counts(connection, mine)) == 2


def test_new_events_begin_after_what_each_reader_has_seen(engine: Engine, ledger: Ledger) -> None:
    tenant = ledger.pool
    first, second = fill(engine, ledger, 4, tenant)[:2]
    with engine.connect() as connection:
        everything = queries.job_events(connection, tenant, first)
        seen = {(tenant, first): (everything[1].seq, everything[1].index), (tenant, second): (-1, -1)}
        found = queries.new_job_events(connection, seen)
    assert [event.event for event in found if event.job == first] == ["AttemptStarted", "JobSucceeded"]
    assert len([event for event in found if event.job == second]) == 4


def test_operators_see_clusters_nodes_policy_and_pools(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, "one")
    ledger.write(ledger.accepted(job))
    ledger.write(ledger.dispatched(job))
    ledger.admit("n-2", "west")
    ledger.write(e.NodeLost("n-2", "n1"))
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
    with engine.connect() as connection:
        clusters = {c.cluster: c for c in queries.clusters(connection) if c.pool == ledger.pool}
        nodes = {n.node: n for n in queries.nodes(connection) if n.pool == ledger.pool}
        policy = next(p for p in queries.policies(connection) if p.pool == ledger.pool)
        pool = next(p for p in queries.pools(connection) if p.pool == ledger.pool)
    assert (clusters["east"].staged, clusters["east"].slots, clusters["east"].nodes) == (1, 2, 1)
    assert (clusters["west"].staged, clusters["west"].slots, clusters["west"].nodes) == (0, 0, 0)
    assert (nodes["n-1"].staged, nodes["n-1"].cached, nodes["n-2"].state) == (1, [VERSION], "lost")
    assert policy.policy == policy_of(ledger.pool)
    assert (pool.release, pool.rules, pool.hash) == ("0.1.0", 1, ledger.records[-1].hash)


def test_jobs_that_wait_with_a_withdrawn_version_are_counted(engine: Engine, ledger: Ledger) -> None:
    """Jobs with another version, jobs that were pinned anew and jobs that run are none of them."""
    bad = "sha256:" + job_of(ledger.pool, "bad")[-32:] * 2
    jobs = [job_of(ledger.pool, f"withdrawn-{number}") for number in range(4)]
    for job in jobs:
        ledger.write(msgspec.structs.replace(ledger.accepted(job), version=bad))
    ledger.write(ledger.accepted(job_of(ledger.pool, "other")))
    ledger.write(ledger.dispatched(jobs[0]))
    ledger.write(e.VersionWithdrawn("noop", bad, kill=False), e.JobRepinned(jobs[1], VERSION))
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
    with engine.connect() as connection:
        found = withdrawn.versions(connection, "noop")[bad]
        assert withdrawn.waiting_jobs(connection, ["sha256:absent"]) == {}
    assert (found.kill, found.waiting) == (False, 2)


def test_a_record_that_was_read_and_became_no_job_is_told_from_one_that_nobody_has_read(
    engine: Engine, ledger: Ledger
) -> None:
    """The API asks this of what it wrote: its key may be in force no longer."""
    (taken,) = fill(engine, ledger, 1, "acme")
    aside = job_of(ledger.pool, "aside")
    with engine.begin() as connection:
        receipts.acknowledge(connection, aside, "acme", "free", "noop", 1, 0, b"{}")
        ledger.write(e.InputQuarantined(1, "expected a signature by an installation key in force"))
        projection.apply_all(connection, ledger.pool, ledger.records)
    with engine.connect() as connection:
        assert queries.state_once_read(connection, ledger.pool, taken, 0) == "queued"
        assert queries.state_once_read(connection, ledger.pool, aside, 0) == "submitted"
        assert queries.state_once_read(connection, ledger.pool, aside, 99) is None, "nobody has come so far"
        assert queries.state_once_read(connection, "another", aside, 0) is None


def test_operators_see_who_asked(engine: Engine, ledger: Ledger) -> None:
    policy = policy_of(ledger.pool)
    ledger.admit("n-1")
    ledger.write(e.PolicyAdopted(policy, fingerprint(policy), actor="operator.ada"))
    ledger.write(
        e.PoolHeld(actor="operator.bob"),
        e.ClusterDraining("east", 0, actor="operator.ada"),
        e.NodeCordoned("n-1", "east", "operator", actor="operator.eve"),
        e.VersionWithdrawn("noop", VERSION, False, actor="operator.ada"),
    )
    ledger.write(e.NodeHeard("n-1", "n1"))
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
    with engine.connect() as connection:
        (shown,) = [view for view in queries.policies(connection) if view.pool == ledger.pool]
        (pool,) = [view for view in queries.pools(connection) if view.pool == ledger.pool]
        clusters = {view.cluster: view.actor for view in queries.clusters(connection) if view.pool == ledger.pool}
        (node,) = [view for view in queries.nodes(connection) if view.pool == ledger.pool]
        gone = withdrawn.versions(connection, "noop")[VERSION]
    assert (shown.actor, pool.held, pool.held_by) == ("operator.ada", True, "operator.bob")
    assert clusters == {"east": "operator.ada", "west": ""}
    assert (node.cordoned_by, gone.actor) == ("operator.eve", "operator.ada")
    ledger.write(e.PoolReleased(actor="operator.ada"))
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
        (pool,) = [view for view in queries.pools(connection) if view.pool == ledger.pool]
    assert (pool.held, pool.held_by) == (False, "")
