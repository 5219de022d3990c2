"""GET /v1/jobs/{job}/why, from a ledger in Kafka that the real core decided, with a snapshot in the object store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from api.resources import Resources
from contract import events as said
from contract.seals import SnapshotSeals
from contract.snapshot_names import prefix_of
from contract.topics import LEDGER
from local.services import Services
from runtime.kafka import Producer
from runtime.object_store import ObjectStore
from scheduling import snapshot
from streams.ledger.snapshots import save
from tests.integration.api.conftest import Caller, CallerFactory, Views
from tests.unit.audit.ledger import POOL, Ledger, job_of
from tests.unit.audit.waits import started, succeeded

OURS, THEIRS = "why-acme", "why-globex"
STARTED, STAGED, WAITS, REFUSED, OF_OTHERS = 1, 4, 5, 91, 3
FETCH_MS = 1_000
"""Fetching takes long, compared with runs of 4 s, so jobs are staged behind running jobs to hide it."""


class Told:
    """The ledger in Kafka, and where the snapshot in the store stands."""

    def __init__(self) -> None:
        self.ledger = Ledger(round(time.time() * 1000) - 3_630_000)
        self.snapshot_offset = 0
        self.submitted_ms: dict[int, int] = {}

    def submit(self, number: int, tenant: str) -> None:
        self.submitted_ms[number] = self.ledger.now_ms
        self.ledger.submit(number, tenant=tenant)


@pytest.fixture(scope="module")
def told(servers: Services, views: Views) -> Iterator[Told]:
    """A little more than an hour ago: jobs 1 and 2 run, 3 (of another tenant) and 4 are staged behind them; 5 waits in
    line, then behind 3 or 4. Since then no scheduler. What the views know of them is written by hand."""
    told, store = Told(), ObjectStore(servers.settings)
    ledger = told.ledger
    ledger.set_up()
    for number, tenant in ((STARTED, OURS), (2, OURS), (OF_OTHERS, THEIRS), (STAGED, OURS)):
        told.submit(number, tenant)
    ledger.decide()
    ledger.decide(passed_ms=FETCH_MS)
    started(ledger, 1, 2)
    told.snapshot_offset = ledger.state.head_offset
    save(store, SnapshotSeals(()), POOL, told.snapshot_offset, ledger.now_ms, snapshot.encode(ledger.state))
    ledger.now_ms += 50
    told.submit(WAITS, OURS)
    ledger.decide(passed_ms=250)
    ledger.decide(passed_ms=4_000)
    succeeded(ledger, 1, 2)
    started(ledger, 3, 4)
    ledger.decide(passed_ms=2_000)
    producer = Producer(servers.settings.brokers, "test-ledger")
    for record in ledger.records:
        producer.send_and_wait(LEDGER, record.value, partition=0)
    producer.close()
    for number, submitted_ms in told.submitted_ms.items():
        tenant = THEIRS if number == OF_OTHERS else OURS
        accepted = views.main.accepted(job_of(number), tenant)
        views.main.write(msgspec.structs.replace(accepted, submitted_ms=submitted_ms))
    views.main.write(said.JobRefused(job_of(REFUSED), OURS, "unknown_tier", 10_000, "k"))
    views.show()
    yield told
    store.delete_prefix(prefix_of(POOL))


@pytest.fixture
def one_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """The views here come from a ledger that was written by hand, not from the ledger in Kafka."""
    monkeypatch.setattr("api.why.projection.position", lambda connection, pool: None)


def why_of(caller: Caller, number: int) -> dict[str, Any]:
    response = caller.http.get(f"/v1/jobs/{job_of(number)}/why")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    assert sum(cause["ms"] for cause in found["causes"]) == found["wait_ms"]
    assert sum(cause["percent"] for cause in found["causes"]) == 100
    return found


@pytest.mark.usefixtures("one_history", "told")
def test_a_job_that_waits_is_told_its_causes_up_to_now(caller_of: CallerFactory) -> None:
    found = why_of(caller_of(tenant=OURS), WAITS)
    assert found["outcome"] == "waiting"
    ms = {cause["cause"]: cause["ms"] for cause in found["causes"]}
    assert ms["on_the_way"] == 250
    assert ms["busy"] == 4_200
    assert ms["staged_behind"] >= 2_000
    assert 3_500_000 < ms["down"] < 3_700_000, "no scheduler since"
    assert found["damage"] is None
    assert found["sentence"].startswith("has waited 1 h ")


@pytest.mark.usefixtures("one_history", "told")
def test_a_user_reads_no_other_tenants_name_and_an_operator_does(caller_of: CallerFactory) -> None:
    """Job 4 stood behind the jobs that ran on its node; job 3 of the other tenant was ahead of it there."""
    mine = caller_of(tenant=OURS)
    shown = mine.http.get(f"/v1/jobs/{job_of(STAGED)}/why").text
    assert THEIRS not in shown
    assert job_of(OF_OTHERS) not in shown
    theirs = caller_of(tenant=THEIRS)
    shown = theirs.http.get(f"/v1/jobs/{job_of(OF_OTHERS)}/why").text
    assert OURS not in shown
    assert job_of(STARTED) not in shown
    assert "behind another job" in shown
    operator = caller_of(tenant=THEIRS, scope="operator")
    shown = operator.http.get(f"/v1/jobs/{job_of(OF_OTHERS)}/why").text
    assert f"behind job {job_of(STARTED)}" in shown


@pytest.mark.usefixtures("one_history", "told")
def test_another_tenants_job_is_no_job(caller_of: CallerFactory) -> None:
    for scope in ("user", "operator"):
        response = caller_of(tenant=OURS, scope=scope).http.get(f"/v1/jobs/{job_of(OF_OTHERS)}/why")
        assert response.status_code == 404


@pytest.mark.usefixtures("one_history", "told")
def test_a_job_that_no_scheduler_has_read_is_told_so(caller_of: CallerFactory) -> None:
    caller = caller_of(tenant=OURS)
    job = caller.submit().json()["job"]
    found = caller.http.get(f"/v1/jobs/{job}/why").json()
    assert found["outcome"] == "waiting"
    assert {cause["cause"] for cause in found["causes"]} <= {"on_the_way", "down"}


@pytest.mark.usefixtures("told")
def test_a_refused_job_never_waited(caller_of: CallerFactory) -> None:
    response = caller_of(tenant=OURS).http.get(f"/v1/jobs/{job_of(REFUSED)}/why")
    assert response.status_code == 409
    assert "unknown_tier" in response.json()["detail"]


@pytest.mark.usefixtures("one_history")
def test_what_one_request_may_read_is_bounded_and_counted_from_the_snapshot(
    caller_of: CallerFactory, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading begins at the record of the snapshot; for a job that is older, at the beginning."""
    caller = caller_of(tenant=OURS)
    since_snapshot = len(told.ledger.records) - told.snapshot_offset
    monkeypatch.setattr("api.why.RECORDS_MAX", since_snapshot)
    assert why_of(caller, WAITS)["wait_ms"] > 0
    response = caller.http.get(f"/v1/jobs/{job_of(STAGED)}/why")
    assert response.status_code == 503
    assert "headrace jobs why --ledger" in response.json()["detail"]
    monkeypatch.setattr("api.why.RECORDS_MAX", since_snapshot - 1)
    assert caller.http.get(f"/v1/jobs/{job_of(WAITS)}/why").json()["title"] == "Wait too long to explain"


@pytest.mark.usefixtures("told")
def test_a_cut_tail_is_told_with_what_can_be_trusted(caller_of: CallerFactory, told: Told) -> None:
    """The views remember more than Kafka has: here because they are of another ledger."""
    found = why_of(caller_of(tenant=OURS), WAITS)
    assert "its tail was cut" in found["damage"]["text"]
    assert found["damage"]["trusted_offset"] == len(told.ledger.records) - 1
    assert found["until_ms"] == told.ledger.now_ms


@pytest.mark.usefixtures("told")
def test_parameters_are_refused(caller_of: CallerFactory) -> None:
    assert caller_of(tenant=OURS).http.get(f"/v1/jobs/{job_of(WAITS)}/why?x=1").status_code == 422


@pytest.mark.usefixtures("one_history", "told")
def test_few_read_at_once_and_the_others_are_told_when_to_come_again(
    caller_of: CallerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = caller_of(tenant=OURS)
    monkeypatch.setattr(Resources, "reads_ledgers", True)
    response = caller.http.get(f"/v1/jobs/{job_of(WAITS)}/why")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
