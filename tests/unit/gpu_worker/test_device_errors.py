"""Which errors only a new process mends: by class, code and phrase, or because the device itself says so."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_worker.child import device_errors
from gpu_worker.child.device_errors import PHRASES, is_broken, is_sticky


def torch_error(code: int, words: str = "words") -> Any:
    error = type("AcceleratorError", (RuntimeError,), {})(words)
    error.error_code = code
    return error


@pytest.mark.parametrize("phrase", PHRASES)
def test_each_phrase_counts_in_an_error_of_a_library(phrase: str) -> None:
    assert is_sticky(RuntimeError(f"CUDA error: {phrase.upper()} was met"))
    assert not is_sticky(ValueError(f"a prompt about: {phrase}")), "a user's words"


@pytest.mark.parametrize(("code", "sticky"), [(710, True), (700, True), (719, True), (2, False), (1, False)])
def test_a_code_counts_without_words(code: int, sticky: bool) -> None:
    assert is_sticky(torch_error(code)) is sticky


@pytest.mark.parametrize(
    "error",
    [RuntimeError("shape mismatch"), MemoryError(), SystemExit(1), type("OutOfMemoryError", (RuntimeError,), {})()],
)
def test_other_errors_leave_the_process_sound(error: BaseException) -> None:
    assert not is_broken(error)


def test_an_error_that_a_model_wrapped_counts() -> None:
    wrapped = ValueError("no film")
    wrapped.__cause__ = torch_error(710)
    assert is_broken(wrapped)
    wrapped.__cause__.__cause__ = wrapped
    assert is_broken(wrapped), "a ring of causes ends"


def test_an_error_that_cannot_be_put_in_words_leaves_the_process_sound() -> None:
    class Silent(RuntimeError):
        def __str__(self) -> str:
            raise ValueError

    assert not is_broken(Silent())


def device(monkeypatch: pytest.MonkeyPatch, query: Any, *, is_used: bool = True) -> None:
    cuda = SimpleNamespace(is_initialized=lambda: is_used, current_stream=lambda: SimpleNamespace(query=query))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(device_errors, "DEVICE_S", 0.03)


def test_a_device_that_answers_with_an_error_is_lost_whatever_the_model_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def query() -> bool:
        raise torch_error(0)

    device(monkeypatch, query)
    assert is_broken(ValueError("no film"))
    device(monkeypatch, query, is_used=False)
    assert not is_broken(ValueError("no film"))


@pytest.mark.parametrize("answer", [True, False])
def test_a_device_that_is_idle_or_still_at_work_is_sound(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    device(monkeypatch, lambda: answer)
    assert not is_broken(ValueError("no film"))
