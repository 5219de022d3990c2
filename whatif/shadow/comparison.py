"""What shadows have written, put together again: which shadows there are, and a candidate's waits against the pool's.

Both sides are judged at one moment, the shadow's clock. A job is compared once, on both sides, it has started or
has waited longer than its SLO. Otherwise a candidate would look better by the jobs that it keeps waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from contract.shadows import ShadowAdvanced, ShadowBegan, ShadowJob, ShadowRecord, ShadowStopped
from whatif.compare import NOT_MODELLED, RECORDED, SHADOW, Comparison, ComparisonColumn, WhatIf
from whatif.outcome import outcome_of
from whatif.simulation.arrivals import Arrivals

ALIKE_MS = 1_000
"""Waits that differ by no more than this count as equal: in the pool, reports and orders take time."""


SHADOW_NOT_MODELLED = (
    "A job still open after --behind: it runs for as long as its version's runs lately; without any it is left out.",
    "Jobs open when the shadow began: without a result they are cancelled then; what ran runs on, and is not compared.",
    "A job that the scheduler read more than 10 s after its submission: it arrives when the shadow knows of it.",
)
"""What a shadow does not model, beside what no what-if models."""


class ShadowRun(msgspec.Struct):
    """The newest run of a shadow in a pool, as its records tell."""

    began: ShadowBegan
    written_ms: int
    """When the run's last record was written, by the broker's clock."""
    now_ms: int
    live_ms: int
    jobs: list[ShadowJob] = []
    starts: dict[str, int] = {}
    """First start of each job in the shadow."""
    live_starts: dict[str, int] = {}
    """First start of each job in the pool, if it came after the job was taken in."""
    dispatches: int = 0
    left_out: dict[str, int] = {}
    slos_ms: dict[str, int] = {}
    stopped: str = ""
    """Why the run is over; empty: it goes on, or was killed."""


class Difference(msgspec.Struct, frozen=True):
    """Jobs of a tier that have started on both sides, by the side on which they started sooner."""

    tier: str
    """Empty: all tiers."""
    earlier: int
    """Jobs that started sooner under the candidate, by more than ALIKE_MS."""
    alike: int
    later: int


class ShadowSummary(msgspec.Struct, frozen=True):
    """A candidate against the policy in force."""

    shadow: str
    run: str
    pool: str
    fingerprint: str
    discipline: str
    from_ms: int
    now_ms: int
    """The shadow's clock."""
    behind_ms: int
    """From the shadow's clock to the last ledger record that it has read."""
    written_ms: int
    stopped: str
    jobs: int
    """Jobs that are compared."""
    undecided: int
    """Jobs that are not compared yet: they wait on one side or both, within their SLO."""
    assumed: int
    """Jobs taken in with an assumed run time."""
    left_out: dict[str, int]
    dispatches: int
    columns: list[ComparisonColumn]
    differences: list[Difference]
    not_modelled: Sequence[str]


def runs(records: Iterable[tuple[int, ShadowRecord]]) -> dict[tuple[str, str], ShadowRun]:
    """The newest run of each (name, pool). `records` are (when it was written, record), in the order of the topic."""
    found: dict[tuple[str, str], ShadowRun] = {}
    for written_ms, record in records:
        key = (record.shadow, record.pool)
        if isinstance(record, ShadowBegan):
            found[key] = ShadowRun(record, written_ms, record.from_ms, record.from_ms)
        elif (run := found.get(key)) is not None and run.began.run == record.run:
            run.written_ms = written_ms
            if isinstance(record, ShadowStopped):
                run.stopped = record.reason
            else:
                _add(run, record)
    return found


def _add(run: ShadowRun, record: ShadowAdvanced) -> None:
    run.now_ms, run.live_ms = record.now_ms, record.live_ms
    run.left_out, run.slos_ms = record.left_out, record.slos_ms
    run.jobs += record.taken
    run.dispatches += len(record.dispatched)
    run.starts.update((start.job, start.at_ms) for start in record.started)
    run.live_starts.update((start.job, start.at_ms) for start in record.live_started)


def compare(run: ShadowRun) -> tuple[ShadowSummary, Comparison]:
    """The summary of a run, and what plot and diff are made of."""
    began = run.began
    live_slos = run.slos_ms
    slos = {**live_slos, **{name: tier.slo_ms for name, tier in began.policy.tiers.items()}}
    arrivals, live, shadow = Arrivals(), [], []
    undecided = 0
    for job in sorted(run.jobs, key=lambda job: job.submitted_ms):
        live_ms = _until(run.now_ms, run.live_starts.get(job.job, job.live_start_ms))
        shadow_ms = _until(run.now_ms, run.starts.get(job.job, -1))
        waited_ms = run.now_ms - job.submitted_ms
        if (live_ms < 0 and waited_ms <= live_slos[job.tier]) or (shadow_ms < 0 and waited_ms <= slos[job.tier]):
            undecided += 1
            continue
        arrivals.add(job.submitted_ms, job.tier, job.tenant, job.version, job.run_ms)
        arrivals.jobs.append(job.job)
        live.append(live_ms)
        shadow.append(shadow_ms)
    columns = [
        ComparisonColumn(RECORDED, outcome_of(arrivals, live, live_slos, run.now_ms), None),
        ComparisonColumn(SHADOW, outcome_of(arrivals, shadow, slos, run.now_ms), None),
    ]
    not_modelled = (*NOT_MODELLED, *SHADOW_NOT_MODELLED)
    summary = ShadowSummary(
        shadow=began.shadow,
        run=began.run,
        pool=began.pool,
        fingerprint=began.fingerprint,
        discipline=began.policy.discipline,
        from_ms=began.from_ms,
        now_ms=run.now_ms,
        behind_ms=run.live_ms - run.now_ms,
        written_ms=run.written_ms,
        stopped=run.stopped,
        jobs=len(arrivals),
        undecided=undecided,
        assumed=sum(job.assumed for job in run.jobs),
        left_out=run.left_out,
        dispatches=run.dispatches,
        columns=columns,
        differences=_differences(arrivals, live, shadow, list(columns[0].outcome.tiers)),
        not_modelled=not_modelled,
    )
    what_if = WhatIf(began.pool, len(arrivals), run.left_out, [], columns, not_modelled)
    return summary, Comparison(what_if, arrivals, {RECORDED: live, SHADOW: shadow})


def _until(now_ms: int, start_ms: int) -> int:
    """The start if it is not after this moment, else -1: not started yet."""
    return start_ms if start_ms <= now_ms else -1


def _differences(arrivals: Arrivals, live: list[int], shadow: list[int], tiers: list[str]) -> list[Difference]:
    counts = {tier: [0, 0, 0] for tier in ("", *tiers)}
    for number, (live_ms, shadow_ms) in enumerate(zip(live, shadow, strict=True)):
        if live_ms >= 0 and shadow_ms >= 0:
            apart_ms = shadow_ms - live_ms
            place = 0 if apart_ms < -ALIKE_MS else 2 if apart_ms > ALIKE_MS else 1
            counts[""][place] += 1
            counts[arrivals.tiers[arrivals.tier[number]]][place] += 1
    return [Difference(tier, *numbers) for tier, numbers in counts.items()]
