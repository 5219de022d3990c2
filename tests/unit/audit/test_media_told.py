"""What a story and a past moment tell of jobs whose media are prepared."""

from __future__ import annotations

from audit.as_of import describe
from audit.ledger.reader import LedgerRecord
from audit.story import render, story
from contract.preparation_reports import PreparationDone
from tests.unit.scheduling.preparing import PreparingPool
from tests.unit.scheduling.specification import MANIFEST, a_job


def told(pool: PreparingPool) -> str:
    records = [LedgerRecord(at, batch.now_ms, pool.records[at]) for at, batch in enumerate(pool.batches)]
    return render(story(a_job(1), lambda: iter(records)))


def test_a_story_of_a_job_with_media() -> None:
    pool = PreparingPool()
    pool.submit(1)
    pool.tick(1_000)
    pool.stopped(1, "outage")
    pool.beat("w1", after_ms=2_000)
    pool.say(PreparationDone(a_job(1), pool.dispatch(a_job(1)), MANIFEST, 7_000, 400, 50, 300))
    pool.tick(3_000)
    text = told(pool)
    assert "its media are prepared first (model edit, tenant acme; its words lie in `jobs` at" in text
    assert "a CPU worker of cluster cpus prepares its media (worker w1, preparation" in text
    assert "the preparation ended: a server of ours was away (preparation" in text
    assert "fetched in 400 ms, checked in 50 ms, decoded in 300 ms, 7000 bytes, manifest sha256:eee" in text
    assert "It has not ended: preparing 3.0 s, queued 0 ms, running 0 ms, 0 attempts" in text


def test_a_story_of_refused_media() -> None:
    pool = PreparingPool()
    pool.submit(1)
    pool.tick(1_000)
    pool.refused(1, "too_long")
    text = told(pool)
    assert "refused: a file lasts longer than is taken (preparation" in text
    assert "It was refused for its media after 1.0 s: preparing 1.0 s, queued 0 ms" in text


def test_a_past_moment_says_who_was_preparing() -> None:
    pool = PreparingPool(workers=2)
    pool.submit(1)
    pool.submit(2)
    then = describe(pool.state, pool.now_ms)
    (free,) = [tier for tier in then.tiers if tier.tier == "free"]
    assert (free.preparing, free.queued, free.staged) == (2, 0, 0)
    kinds = {cluster.cluster: (cluster.kind, cluster.staged) for cluster in then.clusters}
    assert kinds["cpus"] == ("prepare", 2)
    assert kinds["east"] == ("run", 0)
