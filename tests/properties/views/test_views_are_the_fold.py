"""Every field of every view equals the fold: views are held against the scheduler's state after every batch.

What is expected is derived from `State` alone, which `scheduling.evolve` folds: no line of it is of `views`.
"""

from __future__ import annotations

import os

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.chain import Chain, Counted
from tests.properties.scheduling.worlds import STEPS, Step
from tests.properties.views.twice_lived import live_twice
from tests.properties.views.watched import Watched
from tests.simulation.world import World
from tests.unit.audit.media_story import MediaStory
from tests.unit.scheduling.specification import POLICY, POOL
from tests.unit.views.tables import Tables

LIVES = settings(max_examples=int(os.environ.get("EXAMPLES", "25")), deadline=None)
SEEDS = range(int(os.environ.get("SEEDS", "4")))


@LIVES
@given(STEPS, st.sampled_from((POLICY.discipline, "promise")))
def test_every_field_equals_the_fold_after_every_batch(steps: list[Step], discipline: str) -> None:
    pool = live_twice(msgspec.structs.replace(POLICY, discipline=discipline), steps)
    watched = Watched()
    for offset, batch in enumerate(pool.batches):
        watched.take(offset, batch)


@LIVES
@given(STEPS, st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_it_makes_no_difference_how_many_batches_are_taken_at_once(steps: list[Step], sizes: list[int]) -> None:
    pool = live_twice(POLICY, steps)
    one_by_one, at_once = Tables(POOL), Tables(POOL)
    records = list(enumerate(pool.batches))
    for record in records:
        one_by_one.take([record])
    while records:
        sizes = [*sizes[1:], sizes[0]]
        at_once.take(records[: sizes[0]])
        records = records[sizes[0] :]
    assert at_once.all_rows() == one_by_one.all_rows()


@LIVES
@given(st.integers(0, 2**32 - 1))
def test_every_field_equals_the_fold_while_media_are_prepared(seed: int) -> None:
    watched = Watched()
    for offset, batch in enumerate(MediaStory(seed).run(60).batches):
        watched.take(offset, batch)


def test_every_field_equals_the_fold_in_simulated_histories() -> None:
    """Gangs, lost nodes, takeovers, zombies, reverted policies: they happen, and the views agree."""
    open_attempts = gangs = loaded = 0
    for seed in SEEDS:
        watched = simulated(seed)
        open_attempts, gangs, loaded = open_attempts + watched.open, gangs + watched.gangs, loaded + watched.loaded
    assert min(open_attempts, gangs, loaded) > 0


def simulated(seed: int) -> Watched:
    world = World(seed)
    world.run()
    watched, chain = Watched(), Chain(POOL)
    for record in world.broker.topic("ledger"):
        judged = chain.offer(record.offset, record.value or b"")
        if isinstance(judged, Counted):
            watched.take(record.offset, judged.batch, judged.hash)
    return watched
