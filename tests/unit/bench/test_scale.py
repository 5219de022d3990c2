"""The benchmark of scale, small: every job runs, machines come late, go and are lost."""

from __future__ import annotations

from bench import scale
from whatif.simulation.machines import Step


def test_a_small_one_runs_to_its_end_and_is_told() -> None:
    result = scale.measure(1_500, 96)
    assert result.jobs == 1_500
    assert result.outcome.overall.never_started == 0
    assert result.dispatches >= 1_500
    written = scale.page(result)
    assert "| the whole simulation |" in written
    assert "none so deep" in written


def test_a_third_of_the_nodes_comes_for_the_burst_and_leaves_after_it() -> None:
    fleet, lost = scale.fleet("film", 3_600)
    joins = [move.at_ms for move in fleet.in_order() if move.step is Step.JOIN]
    assert joins.count(0) == 300
    assert joins.count(scale.BURST_FROM_MS + scale.WARM_UP_MS) >= 150
    leaves = [move for move in fleet.moves if move.step is Step.LEAVE]
    assert 140 <= len(leaves) <= 150
    assert 10 <= lost <= 40  # 1 % an hour of 300 for six hours and of 150 for four: 24
    assert sum(move.step is Step.LOSE for move in fleet.moves) == lost


def test_the_burst_has_ten_times_the_rate() -> None:
    given = scale.arrivals("film", 15_000)
    hours = [0] * scale.HOURS
    for at_ms in given.at_ms:
        hours[at_ms // scale.HOUR_MS] += 1
    assert 9 < hours[1] / (sum(hours[:1] + hours[2:]) / 5) < 11
