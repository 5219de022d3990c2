"""Inputs wait in order, each once, and are cut into batches by number and by bytes."""

from __future__ import annotations

from contract.batch import BATCH_INPUTS_MAX, INPUT_BYTES_MAX
from contract.inputs import AliasMoved, Body, Input, NodeHeartbeat, NodeReport
from streams.ledger.pending_inputs import PendingInputs

SAID = AliasMoved("noop", "live", "v", 1)


def pending(*sizes: int, body: Body = SAID) -> PendingInputs:
    inputs = PendingInputs()
    for offset, size in enumerate(sizes):
        inputs.add(Input(offset, 0, body), size)
    return inputs


def offsets(inputs: PendingInputs) -> list[int]:
    return [given.offset for given in inputs.for_next_batch()]


def test_an_input_that_was_added_or_passed_over_is_dropped() -> None:
    inputs = pending(1, 1)
    inputs.add(Input(1, 0, SAID), 1)
    inputs.skip_to(5)
    inputs.skip_to(3)
    for offset in (4, 5, 5, 9):
        inputs.add(Input(offset, 0, SAID), 1)
    assert offsets(inputs) == [0, 1, 5, 9]
    assert inputs.next_offset == 10


def test_a_batch_takes_no_more_than_it_may_have() -> None:
    many = pending(*[1] * (BATCH_INPUTS_MAX + 1))
    assert len(many.for_next_batch()) == BATCH_INPUTS_MAX
    assert many.fill_a_batch
    large = pending(INPUT_BYTES_MAX - 1, 1, 1)
    assert offsets(large) == [0, 1]
    assert not large.fill_a_batch


def test_an_input_larger_than_a_batch_goes_alone() -> None:
    inputs = pending(INPUT_BYTES_MAX + 1, 1)
    assert offsets(inputs) == [0]
    inputs.drop(1)
    assert offsets(inputs) == [1]


def test_the_position_lies_behind_what_was_judged_and_behind_the_gap_after_all_of_it() -> None:
    inputs = pending(1, 1, 1)
    inputs.skip_to(8)
    assert [inputs.position_after(judged, 0) for judged in (0, 1, 2, 3)] == [0, 1, 2, 8]
    inputs.drop(3)
    assert (len(inputs), inputs.position_after(0, 3), inputs.position_after(0, 11)) == (0, 8, 11)


def test_words_of_nodes_are_not_urgent() -> None:
    assert pending(1).are_urgent
    assert not PendingInputs().are_urgent
    nodes = pending(1, body=NodeHeartbeat("n", "s"))
    nodes.add(Input(1, 0, NodeReport("n", "s", ())), 1)
    assert not nodes.are_urgent
    nodes.add(Input(2, 0, SAID), 1)
    assert nodes.are_urgent
    nodes.drop(3)
    assert not nodes.are_urgent
