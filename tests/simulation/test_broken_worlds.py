"""A broken node costs no job, and a broken version cordons no node. `python -m tests.simulation cordon` runs more."""

from __future__ import annotations

from tests.simulation import broken_worlds

WORLDS = 5


def test_one_broken_node_of_five_dead_letters_no_job_and_a_broken_version_cordons_no_node() -> None:
    assert broken_worlds.faults(WORLDS) == []


def test_the_broken_node_is_found() -> None:
    assert all(len(broken_worlds.live(seed, broken_node=True).cordoned) == 1 for seed in range(WORLDS))


def test_beside_one_healthy_node_no_job_dies_of_the_broken_one() -> None:
    """Case C5: two nodes of one slot and 80 jobs, of which 66 were dead-lettered."""
    world = broken_worlds.live(1, broken_node=True, nodes=("n1", "n2"), jobs=80)
    assert (world.succeeded, world.dead_lettered, world.left) == (80, 0, 0)
    assert world.failures <= 80 + 10, "a job tries a broken node at most once"
