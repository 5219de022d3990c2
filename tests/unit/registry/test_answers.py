"""Answers that are kept: one call for all who wait, real eviction, nothing older than asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from registry.answers import Answers
from tests.waiting import until

ASKERS = 8


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Database:
    """Counts how often it is asked. Answers once the test allows it."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = threading.Event()

    def ask(self) -> int:
        self.asked += 1
        assert self.may_answer.wait(10)
        return self.asked

    def fail(self) -> int:
        self.ask()
        raise ConnectionError("away")


def stampede(answers: Answers[str, int], database: Database, ask: Callable[[], int]) -> list[int | BaseException]:
    """What each of ASKERS threads got. All asked before the database answered."""
    begun = threading.Barrier(ASKERS + 1)

    def one() -> int | BaseException:
        begun.wait()
        try:
            return answers.get("q", ask)
        except ConnectionError as error:
            return error

    before = database.asked
    with ThreadPoolExecutor(ASKERS) as threads:
        asked = [threads.submit(one) for _ in range(ASKERS)]
        begun.wait()
        until(lambda: database.asked > before, "the database is asked")
        database.may_answer.set()
        return [each.result(10) for each in asked]


def test_a_stampede_at_the_end_of_a_ttl_asks_the_database_once() -> None:
    clock, database = Clock(), Database()
    answers: Answers[str, int] = Answers(10, 1.0, timer=clock)
    assert stampede(answers, database, database.ask) == [1] * ASKERS
    clock.now_s = 0.9
    assert (answers.get("q", database.ask), answers.kept("q"), database.asked) == (1, 1, 1)
    clock.now_s = 1.0
    database.may_answer.clear()
    assert answers.kept("q") is None
    assert stampede(answers, database, database.ask) == [2] * ASKERS
    assert database.asked == 2


def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    database = Database()
    answers: Answers[str, int] = Answers(10, 1.0)
    found = stampede(answers, database, database.fail)
    assert {type(each) for each in found} == {ConnectionError}
    late = database.asked  # a thread that came after the failure asked anew
    assert late < ASKERS
    assert answers.get("q", database.ask) == late + 1


def test_a_full_cache_drops_what_was_used_least_recently_and_keeps_the_rest() -> None:
    answers: Answers[str, str] = Answers(3)
    for question in "abc":
        answers.get(question, partial(str, question))
    assert answers.get("a", lambda: "anew") == "a"
    answers.get("d", lambda: "d")
    assert [answers.kept(question) for question in "abcd"] == ["a", None, "c", "d"]


def test_answers_are_bounded_by_their_size() -> None:
    answers: Answers[str, str] = Answers(10, size_of=len)
    for answer in ("1234", "12345", "123456"):
        answers.get(answer, partial(str, answer))
    assert [answers.kept(answer) for answer in ("1234", "12345", "123456")] == [None, None, "123456"]
    answers.get("large", lambda: "x" * 50)
    assert answers.kept("large") == "x" * 50
    assert answers.kept("123456") is None


def test_what_may_not_be_kept_is_asked_each_time() -> None:
    answers: Answers[str, int] = Answers(10)
    asked = iter(range(10))
    assert [answers.get("q", lambda: next(asked), keep=lambda answer: answer > 0) for _ in range(3)] == [0, 1, 1]


@pytest.mark.parametrize("forgotten", ["before", "during"])
def test_what_is_forgotten_is_asked_again(forgotten: str) -> None:
    answers: Answers[str, str] = Answers(10)

    def ask() -> str:
        if forgotten == "during":
            answers.forget("q")
        return "old"

    assert answers.get("q", ask) == "old"
    if forgotten == "before":
        answers.forget("q")
    assert answers.kept("q") is None
    assert answers.get("q", lambda: "new") == "new"
