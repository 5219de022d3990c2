"""POST /v1/jobs over HTTP, with a real broker and no scheduler."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from contract import events as e
from contract.codec import decode_wire
from contract.inputs import JobSubmitted
from contract.names import job_id_of_key, payload_digest
from local.services import Services
from runtime.kafka import Record
from tests.integration.api.conftest import Caller, CallerFactory, Views, kafka_process
from tests.unit.views.ledger import job_of
from tests.waiting import until

Written = Callable[[], list[Record]]


def problem(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == f"urn:headrace:problem:{code}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return dict(body)


def test_a_submission_is_a_record_of_jobs_and_can_be_found_at_once(caller: Caller, written: Written) -> None:
    trace = "00-" + "a1" * 16 + "-" + "b2" * 8 + "-01"
    body = b'{"model": "echo@live", "tier": "api", "inputs": {"prompt":  "a heron"}}'
    response = caller.http.post(
        "/v1/jobs", content=body, headers={"traceparent": trace, "Content-Type": "application/json"}
    )
    assert response.status_code == 202
    job = response.json()["job"]
    assert response.headers["Location"] == f"jobs/{job}", "relative, so that every gateway's prefix stays"
    assert job == job_id_of_key("main", caller.tenant, response.headers["Idempotency-Key"])

    found = caller.http.get(response.url.join(response.headers["Location"]))
    assert found.status_code == 200
    assert (found.json()["job"]["state"], found.json()["job"]["tier"]) == ("submitted", "api")

    (record,) = written()
    headers = dict(record.headers)
    assert record.partition == 0
    assert record.key is not None
    assert len(bytes.fromhex(record.key.decode())) == 16
    assert headers["ce_type"] == b"headrace.JobSubmitted.v1"
    assert headers["traceparent"] == trace.encode()
    said = decode_wire(record.value)
    assert isinstance(said, JobSubmitted)
    assert bytes(said.inputs) == b'{"prompt":  "a heron"}'
    assert said.submission.digest == payload_digest(said.salt, bytes(said.inputs))
    assert (said.submission.job, said.submission.tenant, said.submission.tier) == (job, caller.tenant, "api")
    assert (said.submission.via, said.submission.model, said.submission.expires_ms) == ("api", "echo@live", 0)
    assert found.json()["job"]["submitted_ms"] == record.timestamp_ms


def test_a_models_own_pool_is_where_its_jobs_go(caller: Caller, written: Written) -> None:
    job = caller.submit(model="aside").json()["job"]
    (record,) = written()
    assert job.startswith("other-")
    assert record.partition == 1


def test_a_deadline_is_by_the_brokers_clock(caller: Caller, written: Written) -> None:
    caller.submit()
    answer = caller.submit(expires_in_s=60)
    assert answer.status_code == 202
    shown = caller.http.get(f"/v1/jobs/{answer.json()['job']}")
    record = written()[-1]
    said = decode_wire(record.value)
    assert isinstance(said, JobSubmitted)
    assert (said.submission.expires_in_ms, said.submission.expires_ms) == (60_000, 0)
    assert shown.json()["job"]["expires_ms"] == record.timestamp_ms + 60_000


def test_the_first_tier_of_the_key_is_the_default(caller_of: CallerFactory) -> None:
    assert caller_of(("gold", "free")).submit().json()["tier"] == "gold"


def test_the_same_key_and_request_is_the_same_job_and_written_once(caller: Caller, written: Written) -> None:
    first = caller.submit(key="order-17")
    again = caller.submit(key="order-17")
    spelled = caller.http.post(
        "/v1/jobs",
        content=b'{ "inputs" : {"prompt" : "a heron"}, "model" : "echo" }',
        headers={"Idempotency-Key": "order-17"},
    )
    assert (first.status_code, again.status_code, spelled.status_code) == (202, 200, 200)
    assert first.json()["job"] == again.json()["job"] == spelled.json()["job"]
    assert first.headers["Location"] == again.headers["Location"]
    assert len(written()) == 1


def test_a_key_used_for_another_request_is_refused(caller: Caller, written: Written) -> None:
    caller.submit(key="order-18")
    problem(caller.submit("an otter", key="order-18"), 422, "idempotency-key-reused")
    problem(caller.submit(key="order-18", tier="api"), 422, "idempotency-key-reused")
    problem(caller.submit(key="order-18", model="aside"), 422, "idempotency-key-reused")
    assert len(written()) == 1


def test_another_tenants_key_is_another_key(caller: Caller, caller_of: CallerFactory) -> None:
    other = caller_of()
    mine, theirs = caller.submit(key="same"), other.submit("an otter", key="same")
    assert (mine.status_code, theirs.status_code) == (202, 202)
    assert mine.json()["job"] != theirs.json()["job"]


def test_a_key_made_here_can_be_used_again(caller: Caller, written: Written) -> None:
    first = caller.submit()
    again = caller.submit(key=first.json()["idempotency_key"])
    assert (again.status_code, again.json()["job"]) == (200, first.json()["job"])
    assert len(written()) == 1


def test_an_answer_for_a_known_key_says_the_jobs_state(caller: Caller, views: Views) -> None:
    job = caller.submit(key="k").json()["job"]
    views.main.run(job, caller.tenant)
    views.show()
    assert caller.submit(key="k").json()["state"] == "succeeded"


def test_the_key_of_an_erased_job_stores_nothing_again(caller: Caller, views: Views, written: Written) -> None:
    job = caller.submit(key="k").json()["job"]
    views.main.run(job, caller.tenant)
    views.main.write(e.ErasureOrdered(job))
    views.show()
    assert problem(caller.submit(key="k"), 410, "job-erased")["job"] == job
    assert len(written()) == 1


@pytest.fixture
def no_acks(servers: Services) -> Iterator[Callable[[], None]]:
    """The broker does not answer until the function is called. It may still take records that were sent meanwhile."""

    def mend() -> None:
        kafka_process(servers).signal(signal.SIGCONT)
        servers.kafka.await_ready()

    kafka_process(servers).signal(signal.SIGSTOP)
    yield mend
    mend()


def test_no_ack_is_no_202_and_a_retry_is_the_same_job(
    caller: Caller, written: Written, no_acks: Callable[[], None]
) -> None:
    with ThreadPoolExecutor() as pool:
        both = pool.submit(caller.submit, "first"), pool.submit(caller.submit, "second", key="mine")
        made_here, with_key = both[0].result(), both[1].result()
    no_acks()
    for response, prompt in ((made_here, "first"), (with_key, "second")):
        body = problem(response, 503, "not-acknowledged")
        assert int(response.headers["Retry-After"]) >= 1
        key = response.headers["Idempotency-Key"]
        assert body["idempotency_key"] == key
        problem(caller.submit("another request", key=key), 422, "idempotency-key-reused")
        again = caller.submit(prompt, key=key)
        assert (again.status_code, again.json()["job"]) == (202, body["job"])
        assert caller.http.get(again.url.join(again.headers["Location"])).status_code == 200
    assert with_key.headers["Idempotency-Key"] == "mine"
    submitted = [decode_wire(record.value) for record in written()]
    assert {r.submission.job for r in submitted if isinstance(r, JobSubmitted)} == {
        made_here.json()["job"],
        with_key.json()["job"],
    }


def test_a_cancel_without_ack_is_no_202(caller: Caller, views: Views, no_acks: Callable[[], None]) -> None:
    job = job_of("main", caller.tenant)
    views.main.write(views.main.accepted(job, caller.tenant))
    views.show()
    problem(caller.http.post(f"/v1/jobs/{job}/cancel", timeout=30), 503, "not-acknowledged")
    no_acks()


@pytest.mark.parametrize(
    ("fields", "status", "code", "says"),
    [
        ({"model": "absent"}, 404, "unknown-model", "'absent'; there is: aside, echo, "),
        ({"model": "echo@next"}, 404, "unknown-alias", "'echo@next'; there is: echo@live"),
        ({"model": "echo@sha256:" + "0" * 64}, 404, "unknown-version", "there is: echo@sha256:"),
        ({"model": "Echo!"}, 422, "model-reference-invalid", "expected 'model', 'model@alias'"),
        ({"model": "late"}, 503, "model-not-ready", "try again"),
        ({"tier": "silver"}, 422, "unknown-tier", "expected one of api, free, gold, found 'silver'"),
        ({"tier": "gold"}, 403, "tier-not-yours", "expected one of this key's tiers (free, api), found 'gold'"),
        ({"inputs": {}}, 422, "inputs-invalid", "inputs: expected the properties prompt, found no prompt"),
        ({"inputs": {"prompt": 7}}, 422, "inputs-invalid", "inputs.prompt: expected string, found integer"),
        ({"inputs": {"prompt": "x" * 101}}, 422, "inputs-invalid", "at most 100 characters, found 101"),
        ({"inputs": {"prompt": "x" * 2_100}}, 413, "body-too-large", "at most 2048 bytes"),
        ({"expires_in_s": 0}, 422, "body-invalid", "$.expires_in_s: expected 1 to"),
        ({"expires_in_s": "soon"}, 422, "body-invalid", "$.expires_in_s"),
        ({"colour": "red"}, 422, "body-invalid", "unknown field `colour`"),
        ({"model": 7}, 422, "body-invalid", "$.model"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    caller: Caller, written: Written, fields: dict[str, Any], status: int, code: str, says: str
) -> None:
    body = problem(caller.submit(**fields), status, code)
    assert says in str(body["detail"])
    assert written() == []


@pytest.fixture
def withdraw_echo(engine: Engine, published: dict[str, str], caller: Caller) -> Iterator[Callable[[], str]]:
    """The views say that the version of echo is withdrawn, until the test has ended."""
    row = {"version": published["echo"]}

    def withdraw() -> str:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO views.withdrawals VALUES ('main', 'echo', :version, false, 1)"), row)
        until(lambda: caller.submit().status_code == 409, "the API has heard of it")
        return row["version"]

    yield withdraw
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM views.withdrawals WHERE version = :version"), row)
    names = ("echo", f"echo@{row['version']}")
    until(lambda: {caller.submit(model=name).status_code for name in names} == {202}, "the API takes jobs again")


def test_a_withdrawn_version_is_refused_and_keys_of_its_jobs_still_answer(
    caller: Caller, written: Written, withdraw_echo: Callable[[], str]
) -> None:
    before = caller.submit(key="before")
    assert before.status_code == 202
    bad = withdraw_echo()
    count = len(written())
    for fields in ({"key": "after"}, {"model": f"echo@{bad}"}):
        body = problem(caller.submit(**fields), 409, "version-withdrawn")
        assert f"found {bad}" in str(body["detail"])
    again = caller.submit(key="before")
    assert (again.status_code, again.json()["job"]) == (200, before.json()["job"])
    assert len(written()) == count
    assert [version["withdrawn"] for version in caller.http.get("/v1/models/echo").json()["versions"]] == [True]


def test_a_version_by_its_digest_can_be_run(caller: Caller, published: dict[str, str]) -> None:
    assert caller.submit(model=f"echo@{published['echo']}").status_code == 202


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b'{"model": "echo", "inputs": {"prompt": "x"', 400, "truncated"),
        (b'{"model": "echo", oops}', 400, "byte 18"),
        (b"", 400, "truncated"),
        (b"\xff\xfe", 400, "byte 0"),
        (b'{"model": "\xc3\x28", "inputs": {}}', 400, "expected JSON"),
        (b'{"model": "echo", "inputs": {"prompt": "\xc3\x28"}}', 400, "expected JSON"),
        (b"[]", 422, "Expected `object`"),
        (b'{"model": "echo"}', 422, "missing required field `inputs`"),
        (b'{"model": "echo", "inputs": {"prompt": ' + b"[" * 2_000, 422, "at most 64 deep"),
    ],
)
def test_a_body_that_is_no_submission(caller: Caller, content: bytes, status: int, says: str) -> None:
    response = caller.http.post("/v1/jobs", content=content)
    assert response.status_code == status
    assert says in response.json()["detail"]


def test_a_body_is_not_read_beyond_the_limit(caller: Caller) -> None:
    sent = 0

    def stream() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 65_536
            yield b" " * 65_536

    try:
        response = caller.http.post("/v1/jobs", content=stream())
    except httpx.WriteError:
        response = None  # the answer came while we were still writing
    assert sent < 200 * 65_536
    if response is not None:
        problem(response, 413, "body-too-large")
    problem(caller.http.post("/v1/jobs", content=b" " * 100_000), 413, "body-too-large")


def test_only_plain_json_is_taken(caller: Caller) -> None:
    problem(caller.http.post("/v1/jobs", data={"model": "echo"}), 415, "not-json")
    problem(
        caller.http.post("/v1/jobs", content=b"{}", headers={"Content-Encoding": "gzip"}),
        415,
        "encoded-body",
    )


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "a\tb"])
def test_a_key_that_is_no_key(caller: Caller, key: str) -> None:
    response = caller.http.post("/v1/jobs", json={}, headers={"Idempotency-Key": key})
    problem(response, 422, "idempotency-key-invalid")
