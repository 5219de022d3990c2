"""The process: health, metrics, logs, defects, and its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest
from sqlalchemy import Engine, text
from starlette.routing import Route

from api import readiness, resources
from api.app import OPERATIONS_WITH_METRICS
from api.operations import routes_of
from contract.policy import Pool
from local.ports import free_port
from local.services import Services
from registry import pools
from runtime import postgres
from runtime.kafka import Record
from runtime.roles import Role
from tests.integration.api.conftest import POLICY, Caller, CallerFactory, kafka_process
from tests.integration.databases import logged_in
from tests.waiting import until
from views import queries

PROMPT = "seventeen lighthouses in a teacup"


class Process:
    """`python -m api`, with its log in a file."""

    def __init__(self, servers: Services, directory: Path, port: int) -> None:
        metrics_port = free_port(not_in={port})
        settings = logged_in(servers.settings, Role.API).model_copy(
            update={"api_port": port, "metrics_port": metrics_port}
        )
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        self.url = f"http://127.0.0.1:{port}"
        self.log = directory / "api.log"
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "api"], env=os.environ | settings.environment(), stdout=log, stderr=log
            )

    def await_ready(self) -> None:
        until(self._ready, "the API is ready", 90)

    def _ready(self) -> bool:
        assert self.child.poll() is None, self.log.read_text()
        try:
            return httpx.get(self.url + "/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def process(servers: Services, published: dict[str, str], tmp_path: Path) -> Iterator[Process]:
    process = Process(servers, tmp_path, free_port())
    process.await_ready()
    yield process
    process.child.kill()
    process.child.wait()


def test_no_word_of_a_user_and_no_key_reaches_the_log(process: Process, caller: Caller) -> None:
    http = httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {caller.secret}"})
    word = PROMPT.split()[1]
    with http:
        job = http.post("/v1/jobs", json={"model": "echo", "inputs": {"prompt": PROMPT}}).json()["job"]
        assert http.post("/v1/jobs", json={"model": "echo", "inputs": {"prompt": PROMPT, PROMPT: 1}}).status_code
        assert http.post("/v1/jobs", json={"model": PROMPT, "inputs": {}}).status_code == 422
        assert http.post("/v1/jobs", json={"model": "echo", "inputs": [PROMPT]}).status_code == 422
        assert http.post("/v1/jobs", content=f'{{"{PROMPT}'.encode()).status_code == 400
        assert http.get("/v1/jobs", params={"model": PROMPT}).status_code == 422
        assert http.get(f"/v1/models/{PROMPT}").status_code == 404
        assert http.get(f"/{PROMPT}").status_code == 404
        assert http.get(f"/v1/jobs/{job}").status_code == 200
        assert http.get("/metrics").status_code == 404
        metrics = httpx.get(process.metrics_url).text
        assert "headrace_api_requests_total" in metrics
    process.child.terminate()
    assert process.child.wait(20) == 0
    log = process.log.read_text()
    assert '"path": "/v1/jobs"' in log
    for said in (log, metrics):
        assert word not in said
        assert caller.secret not in said
        assert caller.secret[3:] not in said


def test_a_stop_ends_open_streams_and_is_quick(process: Process, caller: Caller) -> None:
    http = httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {caller.secret}"}, timeout=20)
    with http:
        job = http.post("/v1/jobs", json={"model": "echo", "inputs": {"prompt": PROMPT}}).json()["job"]
        with http.stream("GET", f"/v1/jobs/{job}/events") as response:
            lines = response.iter_lines()
            assert next(lines) == "retry: 2000"
            begun = time.monotonic()
            process.child.terminate()
            assert [line for line in lines if line] == []
    assert process.child.wait(20) == 0
    assert time.monotonic() - begun < 5
    assert "Traceback" not in process.log.read_text()


def test_a_port_in_use_is_said_and_nothing_is_started(servers: Services, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = Process(servers, tmp_path, port)
        assert process.child.wait(90) == 1
    log = process.log.read_text()
    assert f"127.0.0.1:{port} to be free" in log
    assert "HEADRACE_API_PORT" in log
    assert "Traceback" not in log


def test_a_defect_is_a_problem_with_an_id_and_no_trace(
    caller_of: CallerFactory, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(PROMPT)

    monkeypatch.setattr(queries, "nodes", broken)
    response = caller_of(scope="operator").http.get("/v1/nodes")
    assert response.status_code == 500
    body = response.json()
    assert body["type"] == "urn:headrace:problem:internal-error"
    assert body["id"] == response.headers["X-Request-Id"]
    assert "Traceback" not in response.text
    assert PROMPT not in response.text
    printed, deadline = "", time.monotonic() + 10
    while "unexpected" not in printed and time.monotonic() < deadline:
        printed += "".join(capfd.readouterr())  # logged once the answer was given
    assert PROMPT not in printed
    assert body["id"] in printed
    assert "RuntimeError" in printed
    assert "test_service.py" in printed


def health(url: str) -> dict[str, Any]:
    """What a probe is told; 503 when nothing is served."""
    response = httpx.get(url + "/readyz", timeout=30)
    found: dict[str, Any] = response.json()
    assert response.status_code == (503 if found["status"] == "failing" else 200)
    return found


def lacking(url: str) -> dict[str, str]:
    """The parts that do not do their work."""
    return {part: state for part, state in health(url)["parts"].items() if state != "ok"}


def test_ready_says_which_part_stands_still_and_the_rest_is_served(
    base_url: str, caller: Caller, servers: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = caller.submit().json()["job"]
    until(lambda: lacking(base_url) == {})
    assert set(health(base_url)["ages_s"]) == {"kafka", "postgres", "object_store"}
    monkeypatch.setattr(readiness, "STALE_S", 3.0)
    kafka_process(servers).signal(signal.SIGSTOP)
    try:
        until(lambda: set(lacking(base_url)) == {"kafka"})
        assert lacking(base_url)["kafka"].startswith("no answer for ")
        assert health(base_url)["status"] == "degraded"
        assert caller.http.get(f"/v1/jobs/{job}").status_code == 200
        assert httpx.get(base_url + "/healthz").status_code == 200
    finally:
        kafka_process(servers).signal(signal.SIGCONT)
    until(lambda: lacking(base_url) == {})


def test_without_the_object_store_jobs_are_taken(base_url: str, caller: Caller, servers: Services) -> None:
    assert servers.s3.process is not None
    servers.s3.process.signal(signal.SIGSTOP)
    try:
        until(lambda: "object_store" in lacking(base_url))
        assert health(base_url)["status"] == "degraded"
        assert caller.submit().status_code == 202
    finally:
        servers.s3.process.signal(signal.SIGCONT)
    until(lambda: lacking(base_url) == {})


def test_a_pool_that_no_scheduler_has_opened_is_said_to_wait(
    base_url: str, servers: Services, caller_of: CallerFactory
) -> None:
    engine = postgres.engine(servers.settings)
    pools.register(engine, msgspec.structs.replace(POLICY, pools={**POLICY.pools, "unopened": Pool(77)}))
    engine.dispose()
    until(lambda: health(base_url)["waiting"] == ["unopened"])
    assert health(base_url)["status"] == "ok", "the others are served"
    assert caller_of(scope="operator").http.get("/v1/policy").json()["waiting"] == ["unopened"]


def test_a_pool_that_takes_signed_records_only_is_given_none_by_an_api_without_a_key(
    base_url: str, caller: Caller, engine: Engine, written: Callable[[], list[Record]]
) -> None:
    until(lambda: lacking(base_url) == {})
    job = caller.submit(key="before").json()["job"]
    assert len(written()) == 1
    with signed_only(engine, "main"):
        until(lambda: caller.submit().status_code == 503)
        taken = written()
        for response in (caller.submit(), caller.submit(key="k"), caller.http.post(f"/v1/jobs/{job}/cancel")):
            assert (response.status_code, response.json()["type"]) == (503, "urn:headrace:problem:cannot-sign")
            assert "headrace keys derive api" in response.json()["detail"]
        assert written() == taken
        assert caller.http.get(f"/v1/jobs/{job}").status_code == 200
        until(lambda: set(lacking(base_url)) == {"signing"})
        assert health(base_url)["status"] == "degraded"
    until(lambda: caller.submit(key="k").status_code == 202)
    until(lambda: lacking(base_url) == {})


@contextmanager
def signed_only(engine: Engine, pool: str) -> Iterator[None]:
    """As if a scheduler with keys had opened the pool."""

    def say(signed_from: int) -> None:
        with engine.begin() as connection:
            query = text("UPDATE views.ledger_positions SET signed_from = :n WHERE pool = :pool")
            connection.execute(query, {"n": signed_from, "pool": pool})

    say(0)
    try:
        yield
    finally:
        say(-1)


def test_without_a_database_requests_are_told_to_come_again(base_url: str, caller: Caller, servers: Services) -> None:
    job = caller.submit().json()["job"]
    servers.postgres.kill()
    try:
        for response in (caller.http.get(f"/v1/jobs/{job}"), caller.submit()):
            assert response.status_code == 503
            assert response.headers["Content-Type"] == "application/problem+json"
            assert "Retry-After" in response.headers
        until(lambda: health(base_url)["status"] == "failing")
        assert "postgres" in lacking(base_url)
    finally:
        servers.postgres.start()
        servers.postgres.await_ready()
    assert caller.http.get(f"/v1/jobs/{job}").status_code == 200


def test_a_read_only_database_is_said_and_no_job_is_acknowledged(
    base_url: str, caller: Caller, engine: Engine, written: Callable[[], list[Record]]
) -> None:
    """Case C22. Without a key only the first request may reach the broker: the next ones ask the database first."""
    job = caller.submit().json()["job"]
    with read_only(engine):
        for response in (caller.submit(), caller.submit(), caller.submit(key="heron")):
            assert (response.status_code, response.headers["Content-Type"]) == (503, "application/problem+json")
            assert "Retry-After" in response.headers
        assert "read-only" in response.json()["detail"]
        assert len(written()) <= 2
        assert caller.http.get(f"/v1/jobs/{job}").status_code == 200, "what can be read is read"
        until(lambda: health(base_url)["status"] == "failing")
        assert "read-only" in lacking(base_url)["postgres"]
    done = caller.submit(key="heron")
    assert done.status_code == 202
    assert caller.http.get(f"/v1/jobs/{done.json()['job']}").status_code == 200
    until(lambda: lacking(base_url) == {})


@contextmanager
def read_only(engine: Engine) -> Iterator[None]:
    """As an operator does it, or a failover: no session needs to begin anew."""
    operator = engine.execution_options(isolation_level="AUTOCOMMIT")
    with operator.connect() as connection:
        try:
            connection.execute(text("ALTER SYSTEM SET default_transaction_read_only = on"))
            connection.execute(text("SELECT pg_reload_conf()"))
            until(lambda: shown(engine) == "on")
            yield
        finally:
            connection.execute(text("SET default_transaction_read_only = off"))
            connection.execute(text("ALTER SYSTEM RESET default_transaction_read_only"))
            connection.execute(text("SELECT pg_reload_conf()"))
            until(lambda: shown(engine) == "off")


def shown(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text("SHOW default_transaction_read_only")).scalar_one())


def test_a_database_that_stands_still_keeps_nobody_waiting_for_ever(
    caller: Caller, servers: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "PATIENCE_S", 0.5)
    job = caller.submit().json()["job"]
    stopped = postgres_processes(servers)
    for process in stopped:
        process.suspend()
    try:
        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(lambda _: caller.http.get(f"/v1/jobs/{job}", timeout=30), range(40)))
    finally:
        for process in stopped:
            process.resume()
    assert {answer.status_code for answer in answers} == {503}
    until(lambda: caller.http.get(f"/v1/jobs/{job}").status_code == 200, "it is current again", 10)


def postgres_processes(servers: Services) -> list[psutil.Process]:
    """The server and its sessions."""
    assert servers.postgres.process is not None
    server = psutil.Process(servers.postgres.process.pid)
    return [server, *server.children(recursive=True)]


def test_a_process_ends_while_a_server_stands_still(process: Process, caller: Caller, servers: Services) -> None:
    job = caller.submit().json()["job"]
    stopped = postgres_processes(servers)
    for server in stopped:
        server.suspend()
    try:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{process.url}/v1/jobs/{job}", headers=caller.http.headers, timeout=1)
        process.child.terminate()
        assert process.child.wait(45) == 0
    finally:
        for server in stopped:
            server.resume()


def test_metrics_count_requests_by_route(caller: Caller) -> None:
    caller.submit()
    caller.http.get("/v1/jobs/whatever")
    text = caller.http.get("/metrics").text
    assert 'headrace_api_requests_total{method="POST",path="/v1/jobs",status="202"}' in text
    assert 'path="/v1/jobs/{job}",status="404"' in text
    assert 'headrace_api_submissions_total{outcome="acknowledged"}' in text
    assert "whatever" not in text
    assert caller.tenant not in text


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/v1/jobs", "/absent"])
def test_every_answer_has_the_security_headers_and_no_cors(caller: Caller, path: str) -> None:
    response = caller.http.get(path, headers={"Origin": "https://example.com"})
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Server" not in response.headers


def test_what_the_router_says_is_a_problem_too(caller: Caller) -> None:
    absent = caller.http.get("/v2/jobs")
    assert (absent.status_code, absent.headers["Content-Type"]) == (404, "application/problem+json")
    wrong = caller.http.delete("/v1/jobs")
    assert (wrong.status_code, wrong.headers["Content-Type"]) == (405, "application/problem+json")
    assert {"GET", "POST"} <= set(wrong.headers["Allow"].replace(",", " ").split())


def test_the_document_names_every_route_and_no_other(caller: Caller) -> None:
    document = caller.http.get("/openapi.json").json()
    described = {(path, method) for path, operations in document["paths"].items() for method in operations}
    routed = {
        (route.path, method.lower())
        for route in routes_of(OPERATIONS_WITH_METRICS)  # as the setting of this API says
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == routed
