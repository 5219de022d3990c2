"""A job that the views cannot show as the ledger has it: the API shows the job, says so, and can end the job."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from contract import events as e
from contract.codec import decode_wire
from contract.inputs import CancelRequested
from runtime.kafka import Record
from tests.integration.api.conftest import Caller, CallerFactory, Views
from tests.integration.api.event_streams import stream
from tests.unit.views.ledger import job_of
from tests.waiting import until


def test_an_unreadable_job_is_there_says_why_and_can_be_cancelled(
    caller: Caller, caller_of: CallerFactory, views: Views, written: Callable[[], list[Record]]
) -> None:
    """Case X-expires, and a job of another tenant beside it."""
    ledger, other = views.main, caller_of()
    bad, good = job_of("main", caller.tenant), job_of("main", other.tenant)
    poison = msgspec.structs.replace(ledger.accepted(bad, caller.tenant), expires_ms=2**63)
    record = ledger.write(poison, ledger.accepted(good, other.tenant))
    ledger.write(ledger.dispatched(bad), ledger.dispatched(good, index=1))
    views.show()
    assert other.http.get(f"/v1/jobs/{good}").json()["job"]["state"] == "dispatched"

    body = caller.http.get(f"/v1/jobs/{bad}").json()
    assert body["job"]["state"] == "unreadable"
    assert body["job"]["reason"] == f"ledger offset {record.offset}: expires_ms is a number of more than 64 bits"
    assert [attempt["state"] for attempt in body["attempts"]] == ["staged"]
    (listed,) = caller.http.get("/v1/jobs", params={"state": "unreadable"}).json()["jobs"]
    assert listed["job"] == bad
    counts = caller.http.get("/v1/jobs/counts").json()["counts"]
    assert counts == [{"tier": "free", "state": "unreadable", "jobs": 1}]

    with stream(caller, bad) as sse:
        happened = [data for _, name, data in sse.events() if name == "state"]
    assert [(data["event"], data["state"]) for data in happened] == [("JobUnreadable", "unreadable")]
    result = caller.http.get(f"/v1/jobs/{bad}/result")
    assert (result.status_code, result.json()["type"].rpartition(":")[2]) == (409, "job-unreadable")
    assert f"headrace audit story {bad}" in result.json()["detail"]

    response = caller.http.post(f"/v1/jobs/{bad}/cancel")
    assert (response.status_code, response.json()["state"]) == (202, "unreadable")
    assert decode_wire(written()[-1].value) == CancelRequested(bad, caller.tenant, caller.key_id)

    operator = caller_of(scope="operator")
    (pool,) = [pool for pool in operator.http.get("/v1/policy").json()["pools"] if pool["pool"] == "main"]
    assert pool["unreadable"] == 1
    assert pool["passed_over"] >= 1
    until(lambda: caller.http.get("/readyz").json()["unreadable"] == {"main": 1})
    assert caller.http.get("/readyz").status_code == 200, "the others are served"


def test_a_key_that_was_acknowledged_is_known_whatever_became_of_its_job(
    caller: Caller, views: Views, written: Callable[[], list[Record]]
) -> None:
    """Also long after the scheduler has forgotten the id: no key makes a second job over HTTP."""
    job = caller.submit(key="k").json()["job"]
    ledger = views.main
    ledger.run(job, caller.tenant)
    ledger.now_ms += 30 * 86_400_000
    views.show()
    again = caller.submit(key="k")
    assert (again.status_code, again.json()["job"], again.json()["state"]) == (200, job, "succeeded")
    ledger.write(e.JobExpired(job))
    views.show()
    again = caller.submit(key="k")
    assert (again.status_code, again.json()["state"]) == (200, "unreadable")
    assert len(written()) == 1
