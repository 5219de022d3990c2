"""The smoke of `make check`: 120 seeds, in three of seven of which CPU workers prepare media.

Any number: `make simulate SEEDS=`."""

from __future__ import annotations

import pytest

from tests.simulation.run import simulate

SEEDS = 120
CHUNK = 20


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_invariant_holds_and_every_job_ends(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = simulate(seed)
        assert not outcome.failure, outcome.failure


def test_a_seed_gives_the_same_run_again() -> None:
    assert simulate(7) == simulate(7)


def test_the_faults_happen() -> None:
    """A smoke test in which nothing goes wrong proves nothing. Over some seeds there must be zombies and takeovers."""
    outcomes = [simulate(seed) for seed in range(16)]
    for name in (
        "zombie records",
        "takeovers",
        "stale",
        "snapshots",
        "dispatches",
        "second lives",
        "refusals",
        "preparations",
        "prepared",
        "media refused",
        "workers lost",
    ):
        assert sum(outcome.numbers[name] for outcome in outcomes) > 12, name
    assert sum(outcome.numbers["inputs dropped"] for outcome in outcomes) > 0
    for name in ("cordons", "put out", "revoked", "no_token", "not_confined"):
        assert sum(outcome.numbers[name] for outcome in outcomes) > 2, name
