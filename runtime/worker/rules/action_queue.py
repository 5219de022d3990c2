"""The one queue between a node's rules and the agent, which carries out what the rules answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Action = TypeVar("Action")
"""What the rules of this kind of node answer."""


class ActionQueue(Generic[Action]):
    """Carries out the actions that the rules answer, one after another, in the order in which the rules gave them.

    While an action is carried out, the rules may be told something and answer with more actions. These wait until all
    actions before them are carried out. If they overtook, a Halt could reach a slot before the Launch that the Halt is
    to undo, and a later attempt could take a slot before an earlier one."""

    def __init__(self, carry_out: Callable[[Action], None]) -> None:
        self._carry_out = carry_out
        self._waiting: deque[Action] = deque()
        self._is_draining = False

    def add(self, answer: Iterable[Action]) -> None:
        """Carry the actions of an answer out before this call returns. A call from within `carry_out` only puts the
        actions at the end of the queue: the outermost call carries them out."""
        self._waiting.extend(answer)
        if self._is_draining:
            return
        self._is_draining = True
        try:
            while self._waiting:
                self._carry_out(self._waiting.popleft())
        finally:
            self._is_draining = False
