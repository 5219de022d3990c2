"""What an attempt said is read by its job's owner, and by nobody else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contract.results import ERROR_NAME, LOG_NAME, attempt_prefix
from runtime.object_store import Missing, StoreAway
from tests.unit.api.served import ServedApi
from views.rows import AttemptRow, JobRow

JOB = "main-" + "0" * 32
TRACEBACK = "Traceback (most recent call last):\n  …\nValueError: prömpt\n"


def row_of(struct: type[Any], **known: Any) -> Any:
    """A row with nothing in it but what is known."""
    blanks: dict[Any, Any] = {"str": "", "int": 0, "bool": False}
    values = {
        field.name: blanks.get(getattr(field.type, "__name__", "str"))
        for field in msgspec.structs.fields(struct)
        if field.required
    }
    return struct(**values | known)


class MemoryTexts:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.away = False

    def get(self, key: str, bytes_max: int) -> bytes:
        if self.away:
            raise StoreAway("the store is away")
        if key not in self.objects:
            raise Missing(key)
        return self.objects[key]


@pytest.fixture
def texts() -> MemoryTexts:
    texts = MemoryTexts()
    texts.objects[attempt_prefix(JOB, "1.7.0") + ERROR_NAME] = TRACEBACK.encode()
    texts.objects[attempt_prefix(JOB, "1.7.0") + LOG_NAME] = b"loading weights\n"
    return texts


@pytest.fixture
def job() -> JobRow:
    row: JobRow = row_of(JobRow, job=JOB, state="dead_lettered", reason="model_error", attempts=2)
    return row


@pytest.fixture
def api(texts: MemoryTexts, job: JobRow) -> ServedApi:
    attempts = [
        row_of(AttemptRow, job=JOB, attempt=1, dispatch="1.3.0", state="closed"),
        row_of(AttemptRow, job=JOB, attempt=2, dispatch="1.7.0", state="failed"),
    ]
    reads = {
        "job": lambda tenant, name: job if (tenant, name) == ("acme", JOB) else None,
        "attempts": lambda tenant, name: attempts if tenant == "acme" else [],
    }
    return ServedApi(store=texts, reads=reads)


def test_a_failed_jobs_owner_reads_its_traceback_and_its_prints(api: ServedApi) -> None:
    error = api.request("GET", f"/v1/jobs/{JOB}/attempts/2/error")
    assert (error.status_code, error.text) == (200, TRACEBACK)
    assert error.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert error.headers["X-Content-Type-Options"] == "nosniff"
    assert api.request("GET", f"/v1/jobs/{JOB}/attempts/2/log").text == "loading weights\n"


@pytest.mark.parametrize("what", ["error", "log"])
def test_nobody_else_learns_even_that_there_is_a_job(api: ServedApi, what: str) -> None:
    answer = api.request("GET", f"/v1/jobs/{JOB}/attempts/2/{what}", tenant="other")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:headrace:problem:unknown-job")
    assert "prömpt" not in answer.text


@pytest.mark.parametrize(
    ("attempt", "code"),
    [
        ("1", "no-error"),
        ("3", "unknown-attempt"),
        ("0", "unknown-attempt"),
        ("02", "unknown-attempt"),
        ("x", "unknown-attempt"),
    ],
)
def test_what_is_not_there_is_said_to_be(api: ServedApi, attempt: str, code: str) -> None:
    answer = api.request("GET", f"/v1/jobs/{JOB}/attempts/{attempt}/error")
    assert (answer.status_code, answer.json()["type"]) == (404, f"urn:headrace:problem:{code}")


def test_erased_words_are_gone_whatever_the_store_has(api: ServedApi, job: JobRow) -> None:
    job.erasure = "ordered"
    answer = api.request("GET", f"/v1/jobs/{JOB}/attempts/2/error")
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:headrace:problem:job-erased")


def test_a_store_that_is_away_is_no_missing_text(api: ServedApi, texts: MemoryTexts) -> None:
    texts.away = True
    answer = api.request("GET", f"/v1/jobs/{JOB}/attempts/2/log")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:headrace:problem:store-unavailable")


def test_a_result_that_is_not_there_leads_to_the_traceback_and_not_in_a_circle(api: ServedApi) -> None:
    detail = api.request("GET", f"/v1/jobs/{JOB}/result").json()["detail"]
    assert f"GET /v1/jobs/{JOB}/attempts/2/error says why the last attempt failed" in detail
