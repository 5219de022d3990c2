"""What shadows wrote, put together again: the newest run of each, both sides judged at one moment."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from contract.policy import fingerprint
from contract.shadows import (
    ShadowAdvanced,
    ShadowBegan,
    ShadowDispatch,
    ShadowJob,
    ShadowRecord,
    ShadowStart,
    ShadowStopped,
)
from tests.unit.audit.ledger import POLICY, POOL
from tests.unit.whatif.followed import SWAPPED, Written
from tests.unit.whatif.played import busy
from whatif.compare import RECORDED, SHADOW
from whatif.diff import write_diff
from whatif.plot import draw
from whatif.shadow.comparison import ShadowRun, compare, runs

SLOS = {"api": 10_000, "free": 100_000}


def began(run: str = "run", shadow: str = "candidate") -> ShadowBegan:
    return ShadowBegan(shadow, run, POOL, 1_000, 7, 60_000, POLICY, fingerprint(POLICY), "test")


def job(name: str, submitted_ms: int, live_start_ms: int, tier: str = "api") -> ShadowJob:
    return ShadowJob(name, "acme", tier, "v", submitted_ms, 500, live_start_ms, False)


def advanced(*jobs: ShadowJob, run: str = "run", now_ms: int = 50_000, **more: object) -> ShadowAdvanced:
    step = ShadowAdvanced("candidate", run, POOL, 0, now_ms, 55_000, 9, jobs, (), (), (), {}, SLOS)
    return msgspec.structs.replace(step, **more)


def only(*records: ShadowRecord) -> ShadowRun:
    (run,) = runs(enumerate(records)).values()
    return run


def test_the_newest_run_of_a_name_stands() -> None:
    found = runs(
        enumerate(
            [
                began("old"),
                advanced(job("a", 2_000, 3_000), run="old"),
                began("new"),
                advanced(job("b", 2_000, 3_000), run="new"),
                advanced(job("c", 2_000, 3_000), run="old"),  # it had not been stopped yet
                began("other", "second"),
                ShadowStopped("candidate", "new", POOL, 1, "enough"),
            ]
        )
    )
    assert sorted(found) == [("candidate", POOL), ("second", POOL)]
    run = found["candidate", POOL]
    assert [entry.job for entry in run.jobs] == ["b"]
    assert (run.stopped, run.written_ms) == ("enough", 6)


def test_both_sides_are_judged_at_the_shadows_clock() -> None:
    run = only(
        began(),
        advanced(
            job("kept on both", 10_000, 12_000),
            job("not started there, and late", 20_000, 21_000),
            job("not started there yet", 45_000, 46_000),
            job("starts in the pool after the clock", 48_000, 52_000),
            job("started in the pool after it was taken in", 30_000, -1, "free"),
            started=(
                ShadowStart("kept on both", 10_500),
                ShadowStart("starts in the pool after the clock", 49_000),
                ShadowStart("started in the pool after it was taken in", 31_000),
            ),
            live_started=(ShadowStart("started in the pool after it was taken in", 31_500),),
            dispatched=(ShadowDispatch(10_400, "kept on both", 1, "east", "n1"),),
        ),
    )
    summary, comparison = compare(run)
    assert (summary.jobs, summary.undecided, summary.dispatches, summary.behind_ms) == (3, 2, 1, 5_000)
    live, shadow = (column.outcome for column in summary.columns)
    assert live.overall.attainment == 1.0
    assert shadow.overall.attainment == pytest.approx(2 / 3)
    assert shadow.tiers["api"].worst_fraction == 3.0  # 30 s of 10 s, and still waiting
    assert [(entry.tier, entry.earlier, entry.alike, entry.later) for entry in summary.differences] == [
        ("", 1, 1, 0),
        ("api", 1, 0, 0),
        ("free", 0, 1, 0),
    ]
    out = io.StringIO()
    write_diff(comparison, out)
    assert len(out.getvalue().splitlines()) == 4


def test_a_run_without_a_job_yet_is_shown() -> None:
    summary, _ = compare(only(began()))
    assert (summary.jobs, summary.behind_ms, summary.differences[0].earlier) == (0, 0, 0)


def test_the_policy_in_force_is_like_what_was_recorded_and_another_is_not(tmp_path: Path) -> None:
    summary, comparison = compare(only(began(), *Written(busy(), POLICY).steps))
    live, same = (column.outcome for column in summary.columns)
    assert summary.jobs == 12
    assert same.overall.attainment == live.overall.attainment
    assert same.overall.mean_ms == pytest.approx(live.overall.mean_ms, rel=0.1)
    other = msgspec.structs.replace(began(), policy=SWAPPED)
    summary, comparison = compare(only(other, *Written(busy(), SWAPPED).steps))
    assert summary.columns[1].outcome.tiers["api"].mean_ms > live.tiers["api"].mean_ms
    assert summary.differences[1].later > 0
    assert list(comparison.starts_ms) == [RECORDED, SHADOW]
    pytest.importorskip("matplotlib")
    draw(comparison, tmp_path / "waits.png")
    assert (tmp_path / "waits.png").stat().st_size > 1_000
