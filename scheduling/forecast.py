"""When a job is likely to start, and how long it is likely to run: estimates from what was recorded. Part of `evolve`.

Theory of operation. A forecast is a basis times a factor. The basis depends on the job's situation. For a job that
waits behind others it is the work ahead (jobs of the class in the same and in higher tiers, and staged attempts) times
the recent time between two starts of the class. For a job that finds a free slot it is a constant. For a job whose
forecast has passed it is the time waited. The basis knows nothing of disciplines, sizes or arrivals to come; the
factors make up for that. For each tier and situation two factors follow, start by start, the median and an upper
quantile of wait / basis, by quantile tracking (Robbins and Monro 1951, multiplicative). A margin on top follows whether
the forecasts given came true (adaptive conformal inference, Gibbs and Candes 2021). So coverage is right on the whole
whatever the policy does, and a better basis makes forecasts sharper. Everything is an integer and a fact of the state.

Seams: `basis_of`, `learn`.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappush

from contract.events import InputsPrepared, JobAccepted, StartForecast
from contract.lifecycle import JobState
from scheduling.state import backpressure, heaps
from scheduling.state.jobs import Factors, Job, Situation
from scheduling.state.pool import RequirementClass, State

MILLION = 1_000_000
FACTOR_MIN, FACTOR_MAX = 1_000, 1_000 * MILLION
"""Bounds of a factor, in millionths: a thousandth to a thousand times the basis."""
STEP = 200
"""With each start a factor moves by a 200th of itself: slowly against noise, quickly against a day."""
UP_P50, UP_P90 = 5, 12
"""A factor moves so many steps up when the wait was longer than it says, and one step down (five for the median) when
not. In balance, one wait of two is longer than the median says and one of 13 longer than the upper quantile says: a
little less than one of ten, because waits are known late, and latest while they grow."""
MARGIN_STEP = 50
MARGIN_UP = 9
MARGIN_MAX = 2 * MILLION
"""The margin is between 1 and 2 (in millionths). Without an end it would wind up while many jobs wait whose forecasts
are made already."""
FREE_MS = 100
"""Basis in ms of a job that finds a free slot; the factors learn what such a start takes."""
SPACING_WEIGHT = 32
RUN_WEIGHT = 8
"""A new value counts for a 32nd of the smoothed time between starts, and for an eighth of a version's run time."""
OVERDUE_FACTOR_MIN = 2
"""A new forecast is at least twice the time waited, so a job gets at most one for each doubling of the wait."""
RENEWALS_PER_BATCH_MAX = 32


def for_new_job(state: State, requirement_class: RequirementClass, tier: str) -> tuple[int, int]:
    """p50 and p90 of the wait in ms of a job that would be accepted now; 0 and 0 when nothing is known yet."""
    basis_ms, situation = basis_of(state, requirement_class, tier)
    return _forecast(state, tier, situation, basis_ms) if basis_ms else (0, 0)


def basis_of(state: State, requirement_class: RequirementClass, tier: str) -> tuple[int, Situation]:
    """The basis in ms and the situation of a job that would be accepted now; basis 0 when no start was recorded.

    `judge` and `evolve` ask about the same job one after the other; the second time nothing is counted again."""
    asked = (state.seq, tier)
    if requirement_class.asked != asked:
        requirement_class.basis = _count(state, requirement_class, tier)
        requirement_class.asked = asked
    return requirement_class.basis


def _count(state: State, requirement_class: RequirementClass, tier: str) -> tuple[int, Situation]:
    if requirement_class.looked_seq != state.seq:
        _look(state, requirement_class)
    if requirement_class.waiting < requirement_class.free:
        return FREE_MS, Situation.FREE
    ranks = state.ranks
    rank = ranks[tier]
    ahead = 0
    for lines in (requirement_class.lines, requirement_class.late):
        for other, line in lines.items():
            if ranks[other] <= rank:
                ahead += len(line) + line.aside
    return (ahead + requirement_class.staged + 1) * requirement_class.spacing_us // 1000, Situation.BEHIND


def _look(state: State, requirement_class: RequirementClass) -> None:
    """Count free slots and staged attempts where the class fits. Once a batch is enough: it may accept hundreds of
    jobs."""
    clusters = set()
    free = staged = 0
    for group in requirement_class.groups:
        cluster = group.cluster
        if group.ids and cluster.name not in clusters:  # a group whose nodes are gone is no fact
            clusters.add(cluster.name)
            staged += backpressure.in_flight(cluster)
        if group.free and backpressure.takes_work(cluster):
            free += group.free.bit_count()
    requirement_class.looked_seq, requirement_class.free, requirement_class.staged = (
        state.seq,
        free // requirement_class.requirements.ranks,
        staged,
    )


def _forecast(state: State, tier: str, situation: Situation, basis_ms: int) -> tuple[int, int]:
    factors = _factors(state, tier, situation)
    p50_ms = max(1, basis_ms * factors.p50 // MILLION)
    p90_ms = basis_ms * factors.p90 * factors.margin // (MILLION * MILLION)
    return p50_ms, max(p50_ms, p90_ms)


def _factors(state: State, tier: str, situation: Situation) -> Factors:
    known = state.factors.get((tier, situation))
    return known if known is not None else START


START = Factors(MILLION, 2 * MILLION, MILLION)
"""Before anything is learned: half of the jobs start within the basis, nine of ten within twice the basis."""


def accept(state: State, requirement_class: RequirementClass, job: Job, event: JobAccepted | InputsPrepared) -> None:
    """Keep what was forecast for a job that enters its line until the job starts. Call this before the job enters its
    line."""
    basis_ms, situation = basis_of(state, requirement_class, job.tier)
    requirement_class.asked = None
    if not event.start_p90_ms:
        return
    job.basis_ms, job.situation = basis_ms, situation
    job.due_ms = job.submitted_ms + event.start_p90_ms
    watch(state, job)


def start(state: State, requirement_class: RequirementClass, job: Job) -> None:
    """An attempt of the job starts: learn the class's time between starts and, at the job's first start, how good the
    forecast was. The time between two starts counts only while work waits; else it says how often jobs come."""
    since_ms = requirement_class.last_start_ms
    if since_ms:
        gap_us = (state.now_ms - since_ms) * 1000
        spacing_us = requirement_class.spacing_us
        requirement_class.spacing_us = (
            max(1, spacing_us + (gap_us - spacing_us) // SPACING_WEIGHT) if spacing_us else max(1, gap_us)
        )
    busy = requirement_class.waiting > 0 or any(
        group.ids and len(group.cluster.open) > group.cluster.slots for group in requirement_class.groups
    )
    requirement_class.last_start_ms = state.now_ms if busy else 0
    if job.due_ms:
        learn(state, job, state.now_ms - job.lined_ms, started=True)
        job.due_ms = job.basis_ms = 0


def renew(state: State, job: Job, event: StartForecast) -> None:
    """The forecast has passed, so it was too low. The basis of the new forecast is the time waited."""
    waited_ms = state.now_ms - job.lined_ms
    learn(state, job, waited_ms, started=False)
    job.basis_ms, job.situation = waited_ms, Situation.OVERDUE
    job.due_ms = job.submitted_ms + event.p90_ms
    watch(state, job)
    settle(state)


def learn(state: State, job: Job, waited_ms: int, *, started: bool) -> None:
    """Learn from a wait: of this length, or longer if the job has not started. A job that has not started says nothing
    of a quantile that its wait has not reached. Whether the given forecast came true is known in any case."""
    key = (job.tier, job.situation)
    factors = state.factors.get(key)
    if factors is None:
        factors = state.factors[key] = Factors(START.p50, START.p90, START.margin)
    ratio = waited_ms * MILLION
    over_p50 = ratio > job.basis_ms * factors.p50
    over_p90 = ratio > job.basis_ms * factors.p90
    if over_p50 or started:
        factors.p50 = _moved(factors.p50, UP_P50 if over_p50 else -UP_P50)
    if over_p90 or started:
        factors.p90 = _moved(factors.p90, UP_P90 if over_p90 else -1)
    late = job.lined_ms + waited_ms > job.due_ms
    margin = factors.margin + (factors.margin * MARGIN_UP if late else -factors.margin) // MARGIN_STEP
    factors.margin = min(max(margin, MILLION), MARGIN_MAX)


def _moved(factor: int, steps: int) -> int:
    return min(max(factor + factor * steps // STEP, FACTOR_MIN), FACTOR_MAX)


def renewals(state: State) -> Iterator[StartForecast]:
    """New forecasts for jobs that wait longer than their forecast said; the longest overdue comes first."""
    for _ in range(RENEWALS_PER_BATCH_MAX):
        forecasts = state.forecasts
        if not forecasts or forecasts[0][0] >= state.now_ms:
            return
        job = state.jobs[forecasts[0][1]]
        waited_ms = state.now_ms - job.lined_ms
        before_ms = job.lined_ms - job.submitted_ms
        p50_ms, p90_ms = _forecast(state, job.tier, Situation.OVERDUE, waited_ms)
        p90_ms = max(p90_ms, OVERDUE_FACTOR_MIN * waited_ms)
        yield StartForecast(job=job.job, p50_ms=before_ms + max(p50_ms, waited_ms), p90_ms=before_ms + p90_ms)


def watch(state: State, job: Job) -> None:
    """A queued job has a forecast that passes at `due_ms`."""
    if job.due_ms:
        heappush(state.forecasts, (job.due_ms, job.job))


def settle(state: State) -> None:
    """A job is queued no longer, or has another forecast: drop what means nothing from the front of the heap."""
    heaps.settle(state, state.forecasts, _is_live)


def _is_live(state: State, entry: tuple[int, str]) -> bool:
    job = state.jobs.get(entry[1])
    return job is not None and job.state is JobState.QUEUED and job.due_ms == entry[0]


def ran(state: State, version: str, run_ms: int) -> None:
    """An attempt of the version succeeded after `run_ms`."""
    known_ms = state.run_ms.get(version)
    run_ms = max(1, run_ms)
    state.run_ms[version] = run_ms if known_ms is None else max(1, known_ms + (run_ms - known_ms) // RUN_WEIGHT)
