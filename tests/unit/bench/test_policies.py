"""The benchmark of policies: its loads, what it calls idle, and what its page puts in bold."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest

from bench import loads
from bench.figures import Cell, Figure, Results, TwoClusters
from bench.policies import IdleWatch, cells, measure
from bench.policies_report import page
from contract.policy import DISCIPLINES, UNLIMITED
from tests.unit.whatif.simulations import arrivals, policy, standing_late, versions
from whatif.simulation.simulation import Simulation


def test_every_discipline_meets_every_load_and_limit() -> None:
    every = list(cells(loads.LOADS, (1, 2, 4, 8, UNLIMITED), DISCIPLINES))
    assert len(every) == 4 * 2 * 3 * 5 * 7
    assert len(set(every)) == len(every)


def test_a_load_is_sized_exactly() -> None:
    sized, slots = loads.sized(loads.diurnal(500), 1.3)
    assert sized.work_ms / sized.span_ms / slots == pytest.approx(1.3, rel=0.001)


def test_the_day_has_its_burst() -> None:
    day = loads.diurnal(5_000)
    quarters = [0] * 97
    for at_ms in day.at_ms:
        quarters[at_ms // 900_000] += 1
    burst = quarters.pop(loads.BURST_FROM_MS // 900_000)
    assert burst > 5 * max(quarters)


def test_a_cell_gives_a_figure() -> None:
    figure = measure(Cell(loads.DIURNAL, 0.9, 22_700, 2, "wait_fraction"), 300, Path())
    assert figure.jobs == 300
    assert 0 < figure.attainment <= 1
    assert figure.switches >= 4


def test_idle_slots_are_noticed_only_while_a_job_waits() -> None:
    """Two jobs on one slot; a second slot that joins at 1 s takes the one that is staged behind the other."""
    watch = IdleWatch()
    given = arrivals([(0, "api", 10_000), (0, "api", 10_000), (2_000, "api", 1_000)])
    simulation = Simulation(
        policy({"api": 60_000}), versions("film"), given, standing_late("east", 1_000), observer=watch.look
    )
    watch.simulation = simulation
    simulation.run()
    assert watch.longest_ms < 5_000
    idle, busy = simulation.site.nodes["east-0000"], simulation.site.nodes["east-0001"]
    busy.free, busy.staged = 0, OrderedDict.fromkeys(["1.1.0"])  # type: ignore[assignment]
    watch.look(100_000, [])
    watch.look(107_000, [])
    assert watch.longest_ms == 7_000
    idle.free = 0
    watch.look(109_000, [])
    watch.look(120_000, [])
    assert watch.longest_ms == 9_000


def figure(discipline: str, attainment: float, worst: float) -> Figure:
    cell = Cell("azure-code", 1.3, 0, 2, discipline)
    return Figure(cell, 10, 4, attainment, worst, {"api": attainment}, {"api": 1_000}, 0.9, 3, 0.1)


def test_what_ours_loses_is_bold() -> None:
    figures = [figure("promise", 0.90, 3.0), figure("strict", 0.91, 3.2), figure("fifo", 0.5, 80.0)]
    written = page(Results(10, figures, [TwoClusters("azure-code", UNLIMITED, 5_000, 0.9, 300)], 60.0))
    assert "| azure-code | 1.3 | none | 2 | **0.900** / 3.00 | 0.910 / 3.20 | 0.500 / 80.00 |" in written
    assert "lowest difference | -0.010 |" in written
    assert "| azure-code | none | 5.0 s | 0.900 | 0.3 s |" in written
