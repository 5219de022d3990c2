"""GET /v1/jobs/{job}/result: what the ledger accepted."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from contract import events as e
from contract.results import EMPTY_MANIFEST, LOG_NAME
from runtime.object_store import ObjectStore
from tests.integration.api.conftest import Caller, CallerFactory, Views
from tests.integration.api.results import VIDEO, digest, run_with
from tests.unit.views.ledger import VERSION, job_of


def test_a_result_has_values_and_files_that_can_be_fetched(caller: Caller, views: Views, store: ObjectStore) -> None:
    job, raw = run_with(views, store, caller)
    response = caller.http.get(f"/v1/jobs/{job}/result")
    assert response.status_code == 200
    body = response.json()
    assert (body["values"], body["version"], body["manifest"]) == ({"seed": 7}, VERSION, "sha256:" + digest(raw))
    (file,) = body["files"]
    assert (file["name"], file["sha256"], file["bytes"]) == ("clip.mp4", digest(VIDEO), len(VIDEO))
    fetched = httpx.get(file["url"])
    assert fetched.content == VIDEO
    assert 'filename="clip.mp4"' in fetched.headers["Content-Disposition"]


def test_a_job_without_outputs_has_an_empty_result(caller: Caller, views: Views) -> None:
    job = job_of("main", caller.tenant)
    views.main.run(job, caller.tenant, manifest=EMPTY_MANIFEST)
    views.show()
    body = caller.http.get(f"/v1/jobs/{job}/result").json()
    assert (body["values"], body["files"]) == (None, [])


def test_a_manifest_that_was_not_accepted_is_not_served(caller: Caller, views: Views, store: ObjectStore) -> None:
    job, _ = run_with(views, store, caller, values=msgspec.Raw(b'{"seed": 8}'))
    response = caller.http.get(f"/v1/jobs/{job}/result")
    assert response.status_code == 500
    assert response.json()["type"] == "urn:headrace:problem:result-damaged"
    assert "seed" not in response.text


def test_a_result_that_is_gone_is_said_to_be(caller: Caller, views: Views, store: ObjectStore) -> None:
    job, _ = run_with(views, store, caller)
    store.delete_prefix(f"results/{job}/")
    response = caller.http.get(f"/v1/jobs/{job}/result")
    assert (response.status_code, response.json()["type"]) == (500, "urn:headrace:problem:result-missing")


def test_an_owner_reads_what_an_attempt_printed_and_nobody_else_does(
    caller: Caller, views: Views, store: ObjectStore, caller_of: CallerFactory
) -> None:
    job, _ = run_with(views, store, caller)
    store.put(f"results/{job}/{views.main.dispatch(job)}/{LOG_NAME}", "wörds\n".encode())
    read = caller.http.get(f"/v1/jobs/{job}/attempts/1/log")
    assert (read.status_code, read.text) == (200, "wörds\n")
    absent = caller.http.get(f"/v1/jobs/{job}/attempts/1/error")
    assert (absent.status_code, absent.json()["type"]) == (404, "urn:headrace:problem:no-error")
    assert caller_of().http.get(f"/v1/jobs/{job}/attempts/1/log").json()["type"] == "urn:headrace:problem:unknown-job"


def test_an_erased_result_is_gone(caller: Caller, views: Views, store: ObjectStore) -> None:
    job, _ = run_with(views, store, caller)
    views.main.write(e.ErasureOrdered(job))
    views.show()
    response = caller.http.get(f"/v1/jobs/{job}/result")
    assert (response.status_code, response.json()["type"]) == (410, "urn:headrace:problem:job-erased")


def test_a_job_that_has_not_ended_has_no_result_yet(caller: Caller) -> None:
    job = caller.submit().json()["job"]
    response = caller.http.get(f"/v1/jobs/{job}/result")
    assert (response.status_code, response.json()["state"]) == (409, "submitted")
    assert response.json()["type"] == "urn:headrace:problem:job-not-ended"
    assert "Retry-After" in response.headers


@pytest.mark.parametrize("ending", [e.JobCancelled, e.JobExpired])
def test_a_job_that_ended_otherwise_says_how(caller: Caller, views: Views, ending: type) -> None:
    job = job_of("main", caller.tenant)
    views.main.write(views.main.accepted(job, caller.tenant))
    views.main.write(ending(job, "cancel") if ending is e.JobCancelled else ending(job))
    views.show()
    response = caller.http.get(f"/v1/jobs/{job}/result")
    body = response.json()
    assert (response.status_code, body["type"]) == (409, "urn:headrace:problem:job-has-no-result")
    assert (body["state"], body["reason"]) in (("cancelled", "cancel"), ("expired", "expired"))
    assert "Retry-After" not in response.headers
