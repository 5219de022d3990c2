"""Every door takes what comes, or refuses it with a sentence, and does nothing else; what it takes, every part behind
it takes. At least a third of what is offered is taken."""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.door import Door, found, offer
from tests.fuzz.doors import DOORS

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "50"))


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_a_door_takes_or_refuses(door: Door) -> None:
    for example in found(door):
        offer(door, example)
    outcomes: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, derandomize=True, database=None)
    @given(st.randoms(use_true_random=True))
    def offered(chance: Random) -> None:
        outcomes[offer(door, door.make(chance))] += 1

    offered()
    assert 3 * outcomes["taken"] >= outcomes.total() > EXAMPLES // 2, outcomes
