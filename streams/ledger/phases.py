"""Where a writer stands: its phase, and the record that its next batch follows.

Two guards belong here: a writer appends nothing out of its place, and nothing after an exception."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from contract.chain import Chain
from scheduling.state.pool import State
from streams.ledger.outputs import Append, Output


class WriterPhase(StrEnum):
    OPENING = "opening"
    READING_BACK = "reading_back"
    LEADING = "leading"
    STOPPED = "stopped"


class HasPhase(Protocol):
    phase: WriterPhase


_Writer = TypeVar("_Writer", bound=HasPhase)
_Given = ParamSpec("_Given")
_Got = TypeVar("_Got")


class OutOfPlace(Exception):
    """A batch that does not follow the last record was about to be appended: a defect of the writer."""


def stopped_if_it_raises(
    method: Callable[Concatenate[_Writer, _Given], _Got],
) -> Callable[Concatenate[_Writer, _Given], _Got]:
    """The same method, which stops the writer when it raises: nothing more is appended after an exception."""

    @wraps(method)
    def guarded(writer: _Writer, /, *given: _Given.args, **named: _Given.kwargs) -> _Got:
        try:
            return method(writer, *given, **named)
        except BaseException:  # failure stops: a writer that raised, whatever it was, writes no other byte
            writer.phase = WriterPhase.STOPPED
            raise

    return guarded


def in_place(outputs: list[Output], last: tuple[int, str]) -> list[Output]:
    """The outputs, if what they append follows the last record (`last`: its seq and hash). OutOfPlace if not: every
    reader would call the ledger damaged, for ever."""
    for output in outputs:
        if isinstance(output, Append) and (output.batch.seq - 1, output.batch.prev_hash) != last:
            raise OutOfPlace(f"expected a batch of seq {last[0] + 1} on the last record, found seq {output.batch.seq}")
    return outputs


def chain_after(state: State) -> Chain:
    """The chain rule, begun behind the last record that was folded into the state."""
    if state.head_offset < 0:
        return Chain(state.pool)
    return Chain.at(state.pool, state.head_hash, state.seq, state.epoch, state.head_offset)
