"""Which slot an attempt gets."""

from __future__ import annotations

import pytest

from gpu_worker.rules.node_slots import NodeSlots


@pytest.fixture
def slots() -> NodeSlots:
    """Slot 0 has another version loaded, slot 1 none, slot 2 the version."""
    slots = NodeSlots(3)
    slots.note_loaded(0, "other")
    slots.note_loaded(2, "mine")
    return slots


def test_the_slot_with_the_version_comes_first_then_one_with_none_then_any(slots: NodeSlots) -> None:
    assert [slots.occupy(name, "mine", 1) for name in "abcd"] == [(2,), (1,), (0,), ()]
    slots.free((1,))
    assert slots.occupy("e", "mine", 1) == (1,)


def test_a_gang_gets_a_slot_for_each_rank_or_none(slots: NodeSlots) -> None:
    slots.occupy("a", "other", 1)
    assert slots.occupy("gang", "mine", 3) == ()
    assert slots.occupy("gang", "mine", 2) == (2, 1)


def test_a_lost_slot_is_given_to_nobody_until_it_is_regained(slots: NodeSlots) -> None:
    slots.lose(2)
    slots.lose(2)
    assert (len(slots), slots.usable) == (3, 2)
    assert [slots.occupy(name, "mine", 1) for name in "abc"] == [(1,), (0,), ()]
    slots.regain(2)
    assert slots.occupy("c", "mine", 1) == (2,)


def test_what_is_loaded_is_listed_once_and_news_once(slots: NodeSlots) -> None:
    assert slots.note_loaded(1, "mine")
    assert not slots.note_loaded(1, "mine")
    assert list(slots.loaded) == ["mine", "other"]
    assert slots.note_loaded(0, "")
    assert list(slots.loaded) == ["mine"]
