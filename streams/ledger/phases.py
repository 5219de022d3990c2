"""Where a writer stands: in which phase, on which record of the ledger; and that it appends nothing out of its place,
nor anything after an exception."""

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
    """A batch was about to be appended that does not follow the last record: a defect of the writer."""


def stopped_if_it_raises(
    method: Callable[Concatenate[_Writer, _Given], _Got],
) -> Callable[Concatenate[_Writer, _Given], _Got]:
    """The same method; after an exception of it the writer is stopped, so that nothing more is appended."""

    @wraps(method)
    def guarded(writer: _Writer, /, *given: _Given.args, **named: _Given.kwargs) -> _Got:
        try:
            return method(writer, *given, **named)
        except BaseException:
            writer.phase = WriterPhase.STOPPED
            raise

    return guarded


def in_place(outputs: list[Output], last: tuple[int, str]) -> list[Output]:
    """The outputs, if what they append follows the last record, of which seq and hash are given. OutOfPlace if not:
    every reader would call the ledger damaged, for ever."""
    for output in outputs:
        if isinstance(output, Append) and (output.batch.seq - 1, output.batch.prev_hash) != last:
            raise OutOfPlace(f"expected a batch of seq {last[0] + 1} on the last record, found seq {output.batch.seq}")
    return outputs


def chain_after(state: State) -> Chain:
    """The chain rule from where the state's ledger stands."""
    if state.head_offset < 0:
        return Chain(state.pool)
    return Chain.at(state.pool, state.head_hash, state.seq, state.epoch, state.head_offset)
