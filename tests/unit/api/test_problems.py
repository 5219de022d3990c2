"""Problem documents, and what of an exception reaches a log."""

from __future__ import annotations

from api.guard import _where
from api.problems import Problem, body_of


def test_a_problem_has_the_members_of_rfc_9457_and_its_own() -> None:
    problem = Problem(503, "not-acknowledged", "expected, found, do", retry_after_s=2, job="main-1")
    assert body_of(problem, "r1") == {
        "type": "urn:headrace:problem:not-acknowledged",
        "title": "Not acknowledged",
        "status": 503,
        "detail": "expected, found, do",
        "instance": "urn:headrace:request:r1",
        "job": "main-1",
    }
    assert problem.headers == {"Retry-After": "2"}


def test_a_problems_text_is_its_code_so_that_a_log_of_it_quotes_nobody() -> None:
    assert str(Problem(422, "inputs-invalid", "inputs.prompt: a user's words")) == "inputs-invalid"


def test_an_exception_is_logged_by_class_and_place() -> None:
    try:
        try:
            raise ValueError("a user's words")
        except ValueError as cause:
            raise RuntimeError("more of them") from cause
    except RuntimeError as error:
        places = _where(error)
    assert "RuntimeError" in places
    assert "ValueError" in places
    assert any("test_problems.py" in place for place in places)
    assert not any("words" in place or "more of" in place for place in places)
