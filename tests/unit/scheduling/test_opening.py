"""What a newcomer's first record says of signatures."""

from __future__ import annotations

from contract.batch import Batch
from contract.events import Opened
from scheduling.decide import Clock, open_pool
from scheduling.evolve import fold
from scheduling.state.pool import State, initial_state


def opened(state: State, signed_from: int, *, rules: int = 4) -> int:
    """A newcomer that would begin to ask for signatures at this offset opens the pool. From where it does ask."""
    clock = Clock(state.epoch + 1, state.seq + 1, 0, 0, False)
    (event,) = open_pool(state, "s", "test", clock, signed_from)
    assert isinstance(event, Opened)
    said = event if rules == 4 else Opened("s", "0.1.0", rules)
    batch = Batch("main", clock.epoch, clock.seq, state.head_hash, 0, 0, False, 0, (), (said,))
    fold(state, batch, f"{clock.seq:064x}", clock.seq)
    return event.signed_from


def test_what_had_to_be_signed_once_has_to_be_signed_for_ever() -> None:
    state = initial_state("main")
    assert opened(state, -1) == -1
    assert opened(state, 7) == 7
    assert opened(state, 99) == 7
    opened(state, -1, rules=3)
    assert opened(state, 200) == 7, "a scheduler of v0.1.0 in between says nothing of signatures"
    assert opened(state, -1) == 7
