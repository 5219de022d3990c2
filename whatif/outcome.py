"""What came of a list of arrivals: attainment, worst wait fraction and waits, of all jobs and of each tier."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from math import ceil

import msgspec

from whatif.simulation.arrivals import Arrivals, JobColumn
from whatif.simulation.simulation import Simulation


class Waits(msgspec.Struct, frozen=True):
    """Waits of a set of jobs, each from arrival to first start. A job that never started has waited until the end, and
    counts as late."""

    jobs: int
    never_started: int
    attainment: float
    """Share of jobs that started within their SLO."""
    worst_fraction: float
    """The longest wait ÷ SLO."""
    mean_ms: float
    p50_ms: int
    p99_ms: int


class Outcome(msgspec.Struct, frozen=True):
    overall: Waits
    tiers: dict[str, Waits]
    """Waits by tier, the tier with the shortest SLO first."""
    slos_ms: dict[str, int]


class MachineUse(msgspec.Struct, frozen=True):
    """How far the machines were used, and what deciding took."""

    utilisation: float
    """Slot time that attempts held, loading included, ÷ all slot time from the first arrival to the last end."""
    switches: int
    dispatches: int
    batches: int
    span_ms: int
    """From the first arrival to the last end."""
    decisions_per_s: float
    """Dispatches per second of `decide`; 0 when nothing was timed."""
    batch_p99_ms: float


def outcome_of(arrivals: Arrivals, start_ms: JobColumn[int], slos_ms: Mapping[str, int], until_ms: int) -> Outcome:
    """`start_ms` is the first start of each job, -1 if the job had not started at `until_ms`. `slos_ms` has the SLO of
    each tier; KeyError when a job's tier is missing."""
    waits: dict[int, array[int]] = {number: array("q") for number in range(len(arrivals.tiers))}
    never: dict[int, int] = dict.fromkeys(waits, 0)
    columns = zip(arrivals.at_ms, arrivals.before_ms, arrivals.tier, start_ms, strict=True)
    for at_ms, before_ms, tier, started_ms in columns:
        if started_ms < 0:
            never[tier] += 1
            started_ms = max(until_ms, at_ms)
        waits[tier].append(started_ms - at_ms + before_ms)
    slos = {number: slos_ms[arrivals.tiers[number]] for number in waits}
    order = sorted(waits, key=lambda number: (slos[number], arrivals.tiers[number]))
    met = {number: _met(waits[number], slos[number], never[number]) for number in waits}
    tiers = {
        arrivals.tiers[number]: _waits(
            waits[number], never[number], met[number], max(waits[number], default=0) / slos[number]
        )
        for number in order
    }
    everything = array("q")
    for number in order:
        everything.extend(waits[number])
    worst = max((entry.worst_fraction for entry in tiers.values()), default=0.0)
    overall = _waits(everything, sum(never.values()), sum(met.values()), worst)
    return Outcome(overall, tiers, {arrivals.tiers[number]: slos[number] for number in order})


def _met(waits: Sequence[int], slo_ms: int, never: int) -> int:
    """Jobs that started within their SLO. A job that never started is not one, even if it is younger than its SLO."""
    within = sum(1 for wait_ms in waits if wait_ms <= slo_ms)
    return min(within, len(waits) - never)


def _waits(waits: Sequence[int], never: int, met: int, worst: float) -> Waits:
    ordered = sorted(waits)
    count = len(ordered)
    if not count:
        return Waits(0, 0, 1.0, 0.0, 0.0, 0, 0)
    return Waits(
        jobs=count,
        never_started=never,
        attainment=met / count,
        worst_fraction=worst,
        mean_ms=sum(ordered) / count,
        p50_ms=quantile(ordered, 0.5),
        p99_ms=quantile(ordered, 0.99),
    )


def quantile(ordered: Sequence[int], q: float) -> int:
    """The q-quantile of sorted values, by nearest rank."""
    return ordered[min(len(ordered) - 1, ceil(q * len(ordered)) - 1)]


def simulated_outcome(simulation: Simulation, slos_ms: Mapping[str, int] | None = None) -> Outcome:
    """What came of a simulation, judged by `slos_ms`, or else by the SLOs of the simulation's own policy."""
    slos = slos_ms or {name: tier.slo_ms for name, tier in simulation.policy.tiers.items()}
    return outcome_of(simulation.arrivals, simulation.site.start_ms, slos, simulation.now_ms)


def machine_use(simulation: Simulation) -> MachineUse:
    """How far the machines of a simulation were used."""
    arrivals, site = simulation.arrivals, simulation.site
    begin_ms = arrivals.at_ms[0] if arrivals else 0
    end_ms = max(site.end_ms, default=begin_ms)
    if end_ms < begin_ms:
        end_ms = simulation.now_ms
    slot_ms = simulation.fleet.slot_ms(begin_ms, end_ms)
    seconds = sum(simulation.measured.seconds)
    return MachineUse(
        utilisation=site.busy_ms / slot_ms if slot_ms else 0.0,
        switches=site.switches,
        dispatches=simulation.dispatches,
        batches=simulation.batches,
        span_ms=end_ms - begin_ms,
        decisions_per_s=simulation.dispatches / seconds if seconds else 0.0,
        batch_p99_ms=simulation.measured.p99_ms(),
    )
