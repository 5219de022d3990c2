"""A pool simulated through the real core: known small cases, and theory."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec
import pytest

from contract.events import AttemptClosed, Event, GangReserved, JobDispatched, Member, NodeLost
from contract.inputs import ClusterDrainRequested
from tests.unit.whatif.simulations import arrivals, poisson, policy, versions
from whatif.outcome import machine_use, simulated_outcome
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.event_queue import EventQueue
from whatif.simulation.machines import Fleet, Machine, standing, together
from whatif.simulation.nodes import Costs
from whatif.simulation.simulation import Simulation
from whatif.simulation.site import Site

FILM = versions("film")
ONE_TIER = policy({"api": 60_000})


def waits_of(simulation: Simulation) -> list[int]:
    return [
        start - at for start, at in zip(simulation.site.start_ms, simulation.arrivals.at_ms, strict=True) if start >= 0
    ]


def test_jobs_start_one_after_another_on_one_slot() -> None:
    given = arrivals([(1_000, "api", 500), (1_100, "api", 300), (5_000, "api", 200)])
    simulation = Simulation(ONE_TIER, FILM, given, standing("east", 1), batch_ms=0).run()
    assert list(simulation.site.start_ms) == [1_000, 1_500, 5_000]
    assert list(simulation.site.end_ms) == [1_500, 1_800, 5_200]
    assert machine_use(simulation).utilisation == pytest.approx(1_000 / 4_200)


def test_the_same_arguments_give_the_same_result() -> None:
    given = poisson(3, 500, 3.5, {"api": 1, "free": 2})
    rules = policy({"api": 30_000, "free": 300_000}, limit=2)
    runs = [Simulation(rules, FILM, given, standing("east", 4), costs=Costs(5_000, 20, 300)).run() for _ in range(2)]
    assert runs[0].site.start_ms == runs[1].site.start_ms
    assert runs[0].site.end_ms == runs[1].site.end_ms


def test_orders_and_fetches_take_their_time() -> None:
    given = arrivals([(1_000, "api", 2_000), (1_100, "api", 300)])
    simulation = Simulation(
        ONE_TIER, FILM, given, standing("east", 1), costs=Costs(order_ms=20, fetch_ms=300), batch_ms=0
    ).run()
    # the second one's fetch is hidden behind the first one's run
    assert list(simulation.site.start_ms) == [1_320, 3_320]


def test_a_switch_is_paid_when_the_slot_has_another_version() -> None:
    given = Arrivals()
    for at_ms, model in ((0, "film"), (10_000, "film"), (20_000, "song"), (30_000, "film")):
        given.add(at_ms, "api", "acme", model, 1_000)
    rules, both = policy({"api": 60_000}), versions("film", "song")
    simulation = Simulation(rules, both, given, standing("east", 1), costs=Costs(switch_ms=4_000), batch_ms=0).run()
    assert [end - at for end, at in zip(simulation.site.end_ms, given.at_ms, strict=True)] == [5000, 1000, 5000, 5000]
    assert simulation.site.switches == 3


def test_a_slow_cluster_takes_longer() -> None:
    given = arrivals([(0, "api", 1_000)])
    simulation = Simulation(ONE_TIER, FILM, given, standing("east", 1, speed_permille=500), batch_ms=0).run()
    assert list(simulation.site.end_ms) == [2_000]


def test_a_lost_node_is_given_up_after_its_lease_and_its_job_starts_elsewhere() -> None:
    seen: list[tuple[int, Event]] = []

    def observe(now_ms: int, events: Sequence[Event]) -> None:
        seen.extend((now_ms, event) for event in events if isinstance(event, JobDispatched | NodeLost | AttemptClosed))

    fleet = standing("east", 2)
    fleet.lose(10_000, "east-0000")
    given = arrivals([(0, "api", 60_000), (0, "api", 60_000)])
    simulation = Simulation(ONE_TIER, FILM, given, fleet, batch_ms=0, observer=observe).run()
    lost = [at for at, event in seen if isinstance(event, NodeLost)]
    assert lost == [40_000]  # the lease is 30 s
    assert [type(event).__name__ for at, event in seen if at == 40_000] == ["NodeLost", "AttemptClosed"]
    assert sorted(simulation.site.end_ms) == [60_000, 120_000]
    assert [event.node for _, event in seen if isinstance(event, JobDispatched)][2:] == ["east-0001"]


def test_a_lease_lapses_in_a_pool_that_was_idle() -> None:
    fleet = standing("east", 2)
    fleet.lose(3_600_000, "east-0000")
    given = arrivals([(0, "api", 1_000), (3_700_000, "api", 1_000), (3_700_000, "api", 1_000)])
    simulation = Simulation(ONE_TIER, FILM, given, fleet, batch_ms=0).run()
    assert sorted(simulation.site.end_ms)[1:] == [3_701_000, 3_702_000]


def test_a_node_that_leaves_finishes_what_runs_and_hands_back_what_is_staged() -> None:
    fleet = standing("east", 1)
    fleet.leave(5_000, "east-0000")
    fleet.join(50_000, Machine("east-0009", "east"))
    given = arrivals([(0, "api", 20_000), (1_000, "api", 1_000)])
    simulation = Simulation(ONE_TIER, FILM, given, fleet, batch_ms=0).run()
    assert list(simulation.site.end_ms) == [20_000, 51_000]
    assert list(simulation.state.nodes) == ["east-0009"]


def test_jobs_that_nothing_fits_never_start_and_count_as_late() -> None:
    given = arrivals([(0, "api", 1_000), (0, "api", 1_000)])
    fleet = Fleet()
    fleet.join(0, Machine("east-0", "east"))
    fleet.lose(500, "east-0")
    simulation = Simulation(ONE_TIER, FILM, given, fleet, batch_ms=0).run()
    outcome = simulated_outcome(simulation)
    assert outcome.overall.never_started == 1
    assert outcome.overall.attainment == 0.5


def test_what_else_is_said_reaches_the_scheduler() -> None:
    given = arrivals([(0, "api", 1_000), (10_000, "api", 1_000)])
    fleet = together(standing("east", 1), standing("west", 1))
    rules = policy({"api": 60_000}, ("east", "west"))
    simulation = Simulation(rules, FILM, given, fleet, said=[(5_000, ClusterDrainRequested("east", 0))], batch_ms=0)
    simulation.run()
    assert simulation.state.clusters["east"].draining
    assert list(simulation.site.end_ms) == [1_000, 11_000]


def test_every_report_means_something_to_the_scheduler() -> None:
    given = poisson(5, 2_000, 7.5, {"api": 1, "free": 2})
    fleet = standing("east", 4, slots=2)
    fleet.lose(400_000, "east-0001")
    fleet.join(900_000, Machine("east-0001", "east", slots=2))
    simulation = Simulation(policy({"api": 30_000, "free": 300_000}), FILM, given, fleet, costs=Costs(0, 20, 300)).run()
    assert simulation.state.stale == {}
    assert simulation.state.jobs == {}
    assert min(simulation.site.end_ms) >= 0


def test_the_queue_of_one_server_is_that_of_theory() -> None:
    """M/M/1 at load 0.7: the mean wait is 0.7 / 0.3 = 2.33 services; within 3 standard errors of 10 runs."""
    means = []
    for seed in range(10):
        simulation = Simulation(ONE_TIER, FILM, poisson(seed, 1_500, 0.7, {"api": 1}), standing("east", 1), batch_ms=0)
        means.append(statistics.mean(waits_of(simulation.run())[100:]) / 10_000)
    error = statistics.stdev(means) / len(means) ** 0.5
    assert abs(statistics.mean(means) - 0.7 / 0.3) < 3 * error
    assert error < 0.35


def test_the_ranks_of_a_gang_hold_their_slots_until_it_is_over() -> None:
    """Judged at the nodes alone: an order with members, as the scheduler gives it for a gang."""
    given = arrivals([(0, "api", 1_000), (0, "api", 500)])
    queue = EventQueue()
    site = Site(given, ["sha256:" + "0" * 64], Costs(), queue, lambda _, node: None)
    nodes = [site.join(Machine(name, "east"), f"{name}.1", lambda _, node: None) for name in ("n0", "n1")]
    gang = JobDispatched("main-0", 1, "1.1.0", "n0", "n0.1", "east", 0, 1, "", 0, 0, 8, 1, "nothing")
    site.take(0, msgspec.structs.replace(gang, members=(Member("n1", "n1.1"),)), 0)
    site.take(0, msgspec.structs.replace(gang, job="main-1", dispatch="1.1.1", node="n1", session="n1.1"), 1)
    assert (site.start_ms[0], site.start_ms[1]) == (0, -1)  # the second one waits behind a rank of the first
    queue.happen()
    assert (site.end_ms[0], site.start_ms[1]) == (1_000, 1_000)
    assert site.busy_ms == 2 * 1_000 + 500
    assert [node.free for node in nodes] == [1, 0]


def test_a_gang_that_loses_a_rank_is_over_on_every_node() -> None:
    given = arrivals([(0, "api", 1_000)])
    site = Site(given, ["sha256:" + "0" * 64], Costs(), EventQueue(), lambda _, node: None)
    nodes = [site.join(Machine(name, "east"), f"{name}.1", lambda _, node: None) for name in ("n0", "n1")]
    gang = JobDispatched("main-0", 1, "1.1.0", "n0", "n0.1", "east", 0, 1, "", 0, 0, 8, 1, "nothing")
    site.take(0, msgspec.structs.replace(gang, members=(Member("n1", "n1.1"),)), 0)
    site.lose(400, nodes[1])
    assert nodes[0].free == 1
    assert site.busy_ms == 800


def test_what_is_staged_where_a_gang_was_starts_when_the_gang_loses_a_rank() -> None:
    given = arrivals([(0, "api", 1_000), (0, "api", 500)])
    site = Site(given, ["sha256:" + "0" * 64], Costs(), EventQueue(), lambda _, node: None)
    nodes = [site.join(Machine(name, "east"), f"{name}.1", lambda _, node: None) for name in ("n0", "n1")]
    gang = JobDispatched("main-0", 1, "1.1.0", "n0", "n0.1", "east", 0, 1, "", 0, 0, 8, 1, "nothing")
    site.take(0, msgspec.structs.replace(gang, members=(Member("n1", "n1.1"),)), 0)
    site.take(0, msgspec.structs.replace(gang, job="main-1", dispatch="1.1.1"), 1)
    site.lose(400, nodes[1])
    assert site.start_ms[1] == 400


def test_gangs_and_small_jobs_go_through_the_real_core() -> None:
    """Three nodes of two slots, a gang of four among small jobs: slots are kept for it, and it is over everywhere."""
    given = Arrivals()
    for number in range(60):
        given.add(number * 400, "api", "acme", "film", 2_000)
        if number in (10, 30):
            given.add(number * 400, "api", "acme", "band", 5_000)
    band = msgspec.structs.replace(versions("film", "band", ranks=4)["band"])
    seen: list[Event] = []
    simulation = Simulation(
        policy({"api": 60_000}, discipline="fifo"),
        {**FILM, "band": band},
        given,
        standing("east", 3, slots=2),
        batch_ms=0,
        observer=lambda _, events: seen.extend(events),
    ).run()
    gangs = [event for event in seen if isinstance(event, JobDispatched) and event.members]
    assert [(len(gang.members), gang.reason) for gang in gangs] == [(3, "reserved")] * 2
    assert sum(isinstance(event, GangReserved) for event in seen) == 2
    assert min(simulation.site.end_ms) > 0
    assert not any(isinstance(event, AttemptClosed) for event in seen)
