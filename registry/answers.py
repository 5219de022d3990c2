"""Answers that are kept for a while: the idiom of every cache in front of the database."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Generic, TypeVar

from cachetools import TTLCache

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Answers(Generic[Question, Answer]):
    """Keeps each answer for `ttl_s` seconds, except None. A full cache drops what was used least recently.

    Threads that ask the same question at the same moment share one call and its outcome, so at the end of a TTL the
    database is asked once. They share a failure too, which is not kept. (With `condition=` of cachetools the waiting
    threads repeat a failed call one after another: while a database hangs, the tenth thread waits ten time-outs.)"""

    def __init__(
        self,
        kept_max: int,
        ttl_s: float = math.inf,
        *,
        size_of: Callable[[Answer], int] = lambda answer: 1,
        timer: Callable[[], float] | None = None,
    ) -> None:
        """`kept_max`: the sum of `size_of` over the answers that are kept. `timer`: in seconds; default: monotonic."""

        def size_within(answer: Answer) -> float:
            return min(size_of(answer), kept_max)  # TTLCache refuses what is larger than the whole cache

        self._kept: TTLCache[Question, Answer, float] = TTLCache(kept_max, ttl_s, timer or monotonic, size_within)
        self._asked: dict[Question, Future[Answer]] = {}
        self._lock = threading.Lock()
        """Held for look-ups only, never while a question is asked: an event loop may call `kept`."""

    def get(
        self, question: Question, ask: Callable[[], Answer], keep: Callable[[Answer], bool] = lambda answer: True
    ) -> Answer:
        """The kept answer, else that of `ask`, which is kept if `keep` says so. Raises what `ask` raises."""
        with self._lock:
            kept = self._kept.get(question)
            if kept is not None:
                return kept
            asked = self._asked.get(question)
            own = Future[Answer]()
            if asked is None:
                self._asked[question] = own
        if asked is not None:
            return asked.result()
        try:
            answer = ask()
        except BaseException as error:  # whatever it is: those who wait for this answer must not wait for ever
            self._give(question, own)
            own.set_exception(error)
            raise
        self._give(question, own, answer if keep(answer) else None)
        own.set_result(answer)
        return answer

    def kept(self, question: Question) -> Answer | None:
        """The kept answer, or None. Asks nobody, so an event loop may call it."""
        with self._lock:
            return self._kept.get(question)

    def forget(self, question: Question) -> None:
        """Drops the kept answer. An answer that is on its way is given to those who wait for it, and is not kept."""
        with self._lock:
            self._kept.pop(question, None)
            self._asked.pop(question, None)

    def _give(self, question: Question, own: Future[Answer], answer: Answer | None = None) -> None:
        with self._lock:
            if self._asked.get(question) is not own:  # forgotten meanwhile
                return
            del self._asked[question]
            if answer is not None:
                self._kept[question] = answer
