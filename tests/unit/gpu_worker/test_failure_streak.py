"""When a child is replaced: different jobs failed in a row, and nothing but the child explains it."""

from __future__ import annotations

import msgspec
import pytest

from gpu_worker.child.failure_streak import FailureStreak
from gpu_worker.rules.outcome import Computed, Failure

FAILED = Failure("model_error", "ValueError")


def test_the_second_job_in_a_row_is_one_too_many() -> None:
    streak = FailureStreak()
    assert not streak.note("a", FAILED)
    assert streak.note("b", FAILED)


def test_a_job_that_fails_again_and_again_says_nothing_of_the_child() -> None:
    streak = FailureStreak()
    assert [streak.note("a", FAILED) for _ in range(5)] == [False] * 5


def test_a_success_in_between_clears_the_child() -> None:
    streak = FailureStreak()
    streak.note("a", FAILED)
    assert not streak.note("b", Computed(msgspec.Raw(b"{}"), ()))
    assert not streak.note("c", FAILED)


@pytest.mark.parametrize("kind", ["bad_inputs", "store"])
def test_failures_that_the_job_or_the_disk_explains_do_not_count_and_clear_nothing(kind: str) -> None:
    streak = FailureStreak()
    streak.note("a", FAILED)
    assert not streak.note("b", Failure(kind, "ValueError"))
    assert streak.note("c", FAILED)
