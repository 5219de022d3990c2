"""OWASP API Security Top 10 (2023), one test for each as far as there is something to try in memory.

What needs servers is tried elsewhere: `tests/integration/api` (tenants, submissions, words in logs), `tests/fuzz`
(every door), `tests/unit/api/test_shares.py` and `test_connections.py` (resources).
"""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import ValidationError
from starlette.routing import Route

import api.jobs
from api import bodies, failed_keys, upload_bodies
from api.app import DOCUMENT, OPERATIONS, ROUTES
from api.bodies import SubmitRequest
from api.guard import SECURITY_HEADERS
from api.problems import Problem
from api.request_body import decode
from api.submissions import tier_of
from api.upload_bodies import UploadBody
from audit.waits.sentences import Why
from contract.bounds import DEPTH_MAX
from contract.codec import Malformed, decode_values
from contract.names import digest_of
from contract.policy import Policy, Tier
from contract.results import MANIFEST_NAME, ResultFile, ResultManifest, attempt_prefix
from registry import keys
from registry.keys import Key
from registry.schemas import SchemaRefused, Validator
from runtime.settings import Settings
from tests.twin.object_store import TwinObjectStore
from tests.twin.uploads import TwinUploads
from tests.unit.api.served import ServedApi
from tests.unit.audit.ledger import job_of
from views.rows import JobRow

MINE, ABSENT = job_of(1), job_of(2)
UPLOAD = "u-" + "1" * 32
OF_A_JOB = [operation for operation in OPERATIONS if "{job}" in operation.path]
OF_AN_UPLOAD = [operation for operation in OPERATIONS if "{upload}" in operation.path]
OF_OPERATORS = {"/v1/clusters", "/v1/nodes", "/v1/policy"}


def row(state: str = "queued", manifest: str = "") -> JobRow:
    found = JobRow(MINE, "main", "acme", "free", "echo", "v", state, 0)
    found.result_dispatch, found.result_manifest = "1.2.0", manifest
    return found


def served(job: JobRow, **options: Any) -> ServedApi:
    return ServedApi(reads={"job": lambda tenant, name: job if (tenant, name) == ("acme", MINE) else None}, **options)


def without_instance(answer: httpx.Response) -> tuple[int, dict[str, Any], dict[str, str]]:
    members = {name: value for name, value in answer.json().items() if name != "instance"}
    return answer.status_code, members, {k: v for k, v in answer.headers.items() if k != "x-request-id"}


def test_api1_broken_object_level_authorization() -> None:
    """Each operation of a job: a foreign job, an absent one and a malformed id are answered alike."""
    api = served(row())
    for operation in OF_A_JOB:
        foreign, absent, malformed = (
            without_instance(
                api.request(
                    operation.method, operation.path.replace("{job}", id).replace("{attempt}", "1"), tenant="other"
                )
            )
            for id in (MINE, ABSENT, "main-..")
        )
        assert foreign == absent == malformed
        assert foreign[0] == 404
    assert api.request("GET", f"/v1/jobs/{MINE}").status_code == 200
    assert len(OF_A_JOB) == 7
    table = TwinUploads()
    uploads = ServedApi(reads=table.functions, store=TwinObjectStore())
    mine = uploads.request("POST", "/v1/uploads", json={"bytes": 4}).json()["upload"]["upload"]
    for operation in OF_AN_UPLOAD:
        foreign, absent, malformed = (
            without_instance(
                uploads.request(
                    operation.method, operation.path.replace("{upload}", id), tenant="other", content=b"clip"
                )
            )
            for id in (mine, UPLOAD, "u-..")
        )
        assert foreign == absent == malformed
        assert foreign[0] == 404
    assert uploads.request("GET", "/v1/uploads", tenant="other").json()["uploads"] == []
    assert table.rows[mine].state == "pending"
    assert len(OF_AN_UPLOAD) == 4


def test_api2_broken_authentication() -> None:
    """No key, a wrong sum, a key that nobody has: 401 everywhere, before anything else; and wrong keys cost little."""
    api = ServedApi()
    _, unknown = keys.draw()
    for operation in OPERATIONS:
        if operation.public:
            continue
        path = operation.path.replace("{job}", MINE).replace("{attempt}", "1").replace("{model}", "echo")
        path = path.replace("{upload}", UPLOAD)
        for headers in ({}, {"Authorization": f"Bearer {unknown[:-1]}"}, {"Authorization": f"Basic {unknown}"}):
            answer = api.request(operation.method, path, tenant="", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert api.looked == [], "no database was asked for any of them"
    tried = [
        api.request("GET", "/v1/jobs", headers={"Authorization": f"Bearer {keys.draw()[1]}"}).status_code
        for _ in range(failed_keys.AT_ONCE_MAX + 20)
    ]
    assert set(tried[: failed_keys.AT_ONCE_MAX]) == {401}
    assert tried.count(429) >= 10
    assert len(api.looked) == tried.count(401)


def test_api3_broken_object_property_level_authorization() -> None:
    """A client sets no property that is not its own to set, and is shown what the bodies list and nothing else."""
    decoder = msgspec.json.Decoder(SubmitRequest)
    for name in ("tenant", "priority", "cluster", "node", "version", "job", "salt", "pool", "source"):
        with pytest.raises(Problem) as caught:
            decode(decoder, json.dumps({"model": "m", "inputs": {}, name: "x"}).encode())
        assert caught.value.status == 422
    with pytest.raises(Problem) as refused:
        tier_of(Key("id", "acme", ("free",), "user"), Policy({"free": Tier(1), "gold": Tier(1)}, {}, {}), "gold")
    assert refused.value.status == 403
    answers = {body for operation in OPERATIONS for body in operation.answers.values() if not isinstance(body, str)}
    assert {body for body in answers if body.__module__ not in (bodies.__name__, upload_bodies.__name__)} == {Why}
    assert not {"tenant", "parts"} & set(UploadBody.__struct_fields__)
    shown = served(row()).request("GET", f"/v1/jobs/{MINE}").json()["job"]
    assert not {"tenant", "pool", "result_manifest", "result_dispatch", "gone_by_ms"} & set(shown)


def test_api4_unrestricted_resource_consumption() -> None:
    """Bytes, depth and requests at once are bounded; `test_shares` and `test_connections` have the rest."""
    api = ServedApi(reads={"jobs": lambda *_, **__: pytest.fail("nobody is asked")})
    for limit in ("0", "201", "9" * 5_000, "-1", "1e3"):
        assert api.request("GET", f"/v1/jobs?limit={limit}").status_code == 422
    with pytest.raises(Malformed):
        decode_values(b"[" * 2 * DEPTH_MAX + b"]" * 2 * DEPTH_MAX, "inputs")

    async def payload_bytes_max() -> int:
        return 1_000

    limited: Any = SimpleNamespace(payload_bytes_max=payload_bytes_max)
    api.resources.policies = limited
    assert api.request("POST", "/v1/jobs", content=b" " * 10_000).status_code == 413
    api.resources.requests._each_max = 0
    refused = api.request("GET", "/v1/jobs/counts")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0


def test_api5_broken_function_level_authorization() -> None:
    """Operators' operations are closed to users, and they are all that answer 403 for that."""
    api = ServedApi()
    closed = {
        operation.path
        for operation in OPERATIONS
        if operation.method == "GET" and 403 in operation.problems and not operation.public
    }
    assert closed == OF_OPERATORS
    for path in OF_OPERATORS:
        answer = api.request("GET", path)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:headrace:problem:operators-only")
    for operation in OPERATIONS:
        for method in {"DELETE", "PUT", "PATCH", "TRACE"} - {o.method for o in OPERATIONS if o.path == operation.path}:
            assert api.request(method, operation.path).status_code in (404, 405)


def test_api6_unrestricted_access_to_sensitive_business_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred cancels at once are one input in the ledger. (Submissions: test_submitting, by Idempotency-Key.)"""
    written: list[str] = []

    async def write(resources: Any, job: JobRow, by: str, trace: str) -> None:
        written.append(job.job)
        assert by.startswith("key_"), "the actor of what comes of it"

    monkeypatch.setattr(api.jobs, "_write_cancel", write)
    answers = served(row()).requests(100, "POST", f"/v1/jobs/{MINE}/cancel")
    assert {answer.status_code for answer in answers} == {202}
    assert written == [MINE]


def test_api7_server_side_request_forgery(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No schema makes anybody fetch, and inputs are never followed: a URL in them is text."""

    def fetch(*_: Any, **__: Any) -> Any:
        raise AssertionError("somebody fetched")

    monkeypatch.setattr(socket.socket, "connect", fetch)
    monkeypatch.setattr(urllib.request, "urlopen", fetch)
    (tmp_path / "schema.json").write_text("{}")
    for there in ("http://169.254.169.254/latest", f"file://{tmp_path}/schema.json", "//evil.example/x"):
        for schema in (
            {"$ref": there},
            {"$dynamicRef": there},
            {"allOf": [{"$id": there, "$ref": "#/x"}]},
            {"$ref": "#/extra/a", "extra": {"a": {"allOf": [{"$id": there, "$ref": "#/x"}]}}},
        ):
            with pytest.raises(SchemaRefused):
                Validator(schema)
    fault = Validator({"type": "string", "format": "uri"}).fault("http://169.254.169.254/latest")
    assert fault is None


def test_api8_security_misconfiguration() -> None:
    """Headers on every answer, no CORS, no trace of a defect, no numbers for everybody, no secret that is printed."""
    api = ServedApi()
    for path in ("/", "/healthz", "/openapi.json", "/nothing", "/v1/jobs/counts"):  # the last fails for want of a read
        answer = api.request(
            "GET", path, headers=None if path.startswith("/v1") else {"Origin": "https://evil.example"}
        )
        assert SECURITY_HEADERS.items() <= {name.title(): value for name, value in answer.headers.items()}.items()
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "server" not in answer.headers
    assert answer.status_code == 500
    assert not [word for word in ("Traceback", "KeyError", ".py", "job_counts") if word in answer.text]
    assert api.request("GET", "/metrics").status_code == 404
    wrong: list[dict[str, Any]] = [{"s3_secret_key": "headrace-secret"}, {"api_host": "0.0.0.0"}]
    for settings in wrong:
        with pytest.raises(ValidationError):
            Settings(**settings)


def test_api9_improper_inventory_management() -> None:
    """What answers is what is described: no route beside the document, no version beside /v1."""
    described = {
        (method.upper(), path) for path, operations in json.loads(DOCUMENT)["paths"].items() for method in operations
    }
    routed = {
        (method, route.path)
        for route in ROUTES
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == routed
    unversioned = {path for _, path in routed if not path.startswith("/v1/")}
    assert unversioned == {"/", "/healthz", "/readyz", "/openapi.json"}


class LyingStore:
    """An object store that holds what somebody else wrote there."""

    def __init__(self, manifest: bytes) -> None:
        self._objects = {attempt_prefix(MINE, "1.2.0") + MANIFEST_NAME: manifest}

    def get(self, key: str, bytes_max: int) -> bytes:
        return self._objects[key][: bytes_max + 1]

    def presign(self, *_: Any) -> str:
        raise AssertionError("a link to what the ledger did not accept")


def test_api10_unsafe_consumption_of_apis() -> None:
    """What the object store says is believed as far as the ledger has its digest, and a node's names not even then."""
    hostile = ResultFile("../../snapshots/main", "sha256:" + "0" * 64, 1, "text/html")
    own = msgspec.json.encode(ResultManifest(MINE, "1.2.0", "v", msgspec.Raw(b"{}"), ()))
    others = [
        msgspec.json.encode(ResultManifest(ABSENT, "1.2.0", "v", msgspec.Raw(b"{}"), ())),
        msgspec.json.encode(ResultManifest(MINE, "1.2.0", "v", msgspec.Raw(b"{}"), (hostile,))),
        b"{" * 10_000,
    ]
    accepted = digest_of(b"what the node reported")
    lies = [(own, accepted), *((manifest, digest) for manifest in others for digest in (accepted, digest_of(manifest)))]
    for manifest, digest in lies:
        api = served(row("succeeded", digest), store=LyingStore(manifest))
        answer = api.request("GET", f"/v1/jobs/{MINE}/result")
        assert (answer.status_code, answer.json()["type"]) == (500, "urn:headrace:problem:result-damaged")
    honest = served(row("succeeded", digest_of(own)), store=LyingStore(own))
    assert honest.request("GET", f"/v1/jobs/{MINE}/result").status_code == 200
