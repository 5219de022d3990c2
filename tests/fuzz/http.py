"""The door of HTTP: any request to any route of the API. The registry, the views and the broker answer from memory.

What a query is given must be what Postgres takes. A record that is written goes through everything behind `jobs`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import pytest

import api.why
from api.app import DOCUMENT, OPERATIONS, PAGE, Application
from api.bodies import SubmitRequest
from api.cancels import Cancels
from api.catalog import Catalog
from api.heard import Heard
from api.hub import Hub
from api.key_checks import KeyChecks
from api.metrics import Metrics
from api.operations import Operation
from api.policies import Policies
from api.readiness import KnownPools, PartWatch, Readiness
from api.resources import BrokerClock, Resources
from api.shares import CallerShares
from api.threads import AnsweringThreads
from audit.ledger.past import LedgerPast
from contract.names import digest_of
from contract.prepared import UPLOAD_DATA, upload_prefix
from contract.results import ERROR_NAME, LOG_NAME, MANIFEST_NAME, ResultManifest, attempt_prefix
from contract.signing import InstallationKey, RecordSigner
from registry import audiences, keys, models
from registry.keys import Key, Keyring
from registry.uploads import Upload
from runtime.egress.policy import EgressPolicy
from runtime.kafka import Delivery
from runtime.outage_watch import OutageWatch
from runtime.settings import Settings
from tests.fuzz.behind import Behind
from tests.fuzz.door import Door
from tests.fuzz.history import a_ledger
from tests.fuzz.mutations import ODD_VALUES, changed, mostly_good, written
from tests.twin.object_store import TwinObjectStore
from tests.unit.api.versions import version
from tests.unit.audit.ledger import job_of
from tests.unit.scheduling.specification import CPU, POLICY, START_MS, version_of
from views import receipts
from views.rows import AttemptRow, JobEventRow, JobRow

SECRET = keys.draw()[1].encode()
HttpRequest = tuple[str, bytes, bytes, list[tuple[bytes, bytes]], list[bytes]]
"""Method, path and query as they came, headers, and the body in pieces."""

SUCCEEDED, RUNNING, REFUSED = job_of(1), job_of(2), job_of(3)
MANIFEST = msgspec.json.encode(ResultManifest(SUCCEEDED, "1.2.3", "v", msgspec.Raw(b"{}"), ()))
ECHO = version({"type": "object", "properties": {"prompt": {"type": "string", "maxLength": 9}}}, version_of("echo/v1"))


def _attempt() -> AttemptRow:
    texts = (RUNNING, 1, "main", "1.2.3", "n1", "s1", "east", "running")
    return AttemptRow(*texts, START_MS, None, None, 7, 10, "", 0, 0, 4, 1, "nothing")


def a_row(job: str, state: str) -> JobRow:
    ended = {"result_manifest": digest_of(MANIFEST), "result_dispatch": "1.2.3"} if state == "succeeded" else {}
    return JobRow(job, "main", "acme", "free", "film", "v", state, START_MS, attempts=1, **ended)  # type: ignore[arg-type]


WORDS = {
    attempt_prefix(SUCCEEDED, "1.2.3") + MANIFEST_NAME: MANIFEST,
    **{
        attempt_prefix(job, "1.2.3") + name: b"words\xff"
        for job in (SUCCEEDED, RUNNING)
        for name in (ERROR_NAME, LOG_NAME)
    },
}
ROWS = {job: a_row(job, state) for job, state in ((SUCCEEDED, "succeeded"), (RUNNING, "started"), (REFUSED, "refused"))}


CLIP = b"clip"
PENDING = Upload("u-" + "1" * 32, "acme", "pending", len(CLIP), "", len(CLIP), "", "", START_MS, START_MS)


def the_objects() -> TwinObjectStore:
    store = TwinObjectStore()
    for key, data in WORDS.items():
        store.place(key, data)
    return store


# -- a database in memory ----------------------------------------------------------------------------------------------


class Rows(list[Any]):
    def all(self) -> list[Any]:
        return self

    def scalars(self) -> Rows:
        return self

    def one_or_none(self) -> Any:
        return self[0] if self else None

    first = scalar_one_or_none = scalar_one = one = one_or_none


class AskedDatabase:
    """Answers the few queries that a request leads to, and refuses what Postgres would."""

    def connect(self) -> AskedDatabase:
        return self

    begin = connect

    def __enter__(self) -> AskedDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: Any, values: dict[str, Any] | None = None) -> Rows:
        given, sql = values or {}, str(statement)
        for value in given.values():
            assert_postgres_takes(value)
        return self._answer(sql, given)

    def _answer(self, sql: str, given: dict[str, Any]) -> Rows:
        row = ROWS.get(str(given.get("job")))
        if "registry.uploads" in sql:
            return self._of_uploads(sql, given)
        if "registry.keys" in sql:
            return Rows([SimpleNamespace(id="key_1", tenant="acme", tiers=["free", "api"], scope="operator")])
        if sql.startswith("SELECT submitted_ms, job FROM views.jobs"):
            return Rows([(START_MS, RUNNING)])
        if "FROM views.jobs WHERE" in sql:
            return Rows(
                [msgspec.structs.astuple(one) for one in ([row] if row else ROWS.values() if "LIMIT" in sql else ())]
            )
        if "FROM views.attempts" in sql:
            attempt = _attempt()
            return Rows([msgspec.structs.astuple(attempt)])
        if "FROM views.job_events" in sql:
            event = JobEventRow(SUCCEEDED, 1, 0, "main", START_MS, "JobAccepted", "queued", 0, "words")
            return Rows([msgspec.structs.astuple(event)])
        if "FROM views.policies" in sql:
            document = msgspec.to_builtins(POLICY)
            policy = SimpleNamespace(pool="main", fingerprint="sha256:1", adopted_ms=1, document=document, actor="")
            return Rows([policy])
        if "has_table_privilege" in sql:
            return Rows([True])
        if "registry.models" in sql and given.get("model") in ("echo", None):
            return Rows([SimpleNamespace(name="echo", pool="main")])
        if "registry.pools" in sql:
            return Rows([SimpleNamespace(name="main", partition=0)])
        return Rows()

    def _of_uploads(self, sql: str, given: dict[str, Any]) -> Rows:
        if "AS all_rows" in sql:
            return Rows([SimpleNamespace(uploads=1, bytes=7, all_rows=1)])
        if "created_us" in sql:
            return Rows([UploadedRow((*msgspec.structs.astuple(PENDING), 1))])
        if "RETURNING" in sql or given.get("upload") == PENDING.upload:
            return Rows([msgspec.structs.astuple(PENDING)])
        return Rows()


class UploadedRow(tuple[Any, ...]):
    created_us, upload = 1, "u-" + "1" * 32


def assert_postgres_takes(value: Any) -> None:
    if isinstance(value, str):
        assert "\0" not in value, "Postgres takes no text with NUL"
        value.encode()
    elif isinstance(value, int):
        assert -(2**63) <= value < 2**63, "Postgres takes whole numbers of 64 bits"
    elif isinstance(value, list | tuple):
        for part in value:
            assert_postgres_takes(part)


class WrittenJobs:
    """A producer whose records are kept."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes, list[tuple[str, bytes]]]] = []

    async def asend(self, topic: str, value: bytes, *, key: bytes, headers: Any, partition: int) -> Delivery:
        assert topic == "jobs"
        self.records.append((value, key, headers))
        return Delivery(partition, len(self.records), START_MS)


# -- the application ---------------------------------------------------------------------------------------------------


@contextmanager
def an_application() -> Iterator[tuple[Application, WrittenJobs]]:
    patch = pytest.MonkeyPatch()
    resources: Any = object.__new__(Resources)
    database: Any = AskedDatabase()
    jobs = WrittenJobs()

    async def here(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    keyring = Keyring(database, 5.0)

    async def looked_up(secret: str, who: str) -> Key | None:
        return keyring.resolve(secret)

    async def answered() -> Any:
        return KnownPools([], frozenset({"main"}), [])

    async def asked(query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return query(database, *args, **kwargs)

    resources.settings, resources.metrics, resources.engine = Settings(), Metrics(), database
    resources.store, resources.egress_policy = the_objects(), EgressPolicy()
    resources.senders, resources.all_senders = CallerShares(1), CallerShares(1)
    resources.producer, resources.clock, resources.hub = jobs, BrokerClock(), Hub()
    resources.signer = RecordSigner(InstallationKey(b"k" * 32).of("api"))
    resources._ledger, resources.ledger_askers = AnsweringThreads(2), CallerShares(1)
    resources.requests = CallerShares(10)
    resources.cancels, resources.heard = Cancels(), Heard()
    resources.keys = KeyChecks(keyring, looked_up)
    resources.in_thread = resources.in_store = resources.in_ledger = resources.in_uploads = here
    resources.read = resources.write = asked
    resources.database = resources.writes = OutageWatch("away", "back")
    resources.catalog, resources.policies = Catalog(database, here), Policies(database, here, signs=True)
    resolve = models.resolve
    patch.setattr(
        models, "resolve", lambda engine, name: ECHO if name in ("echo", "echo@live") else resolve(engine, name)
    )
    patch.setattr(models, "versions", lambda *_: (ECHO,))
    patch.setattr(audiences, "of", lambda *_: audiences.EVERYBODY)
    patch.setattr(audiences, "restricted", lambda *_: {})
    patch.setattr(receipts, "reserve", lambda *_: None)
    past = LedgerPast("main", lambda first: iter(a_ledger().records[first:]))
    patch.setattr(api.why, "past_of_partition", lambda *_: past)
    application = Application(resources.settings)
    application._resources = resources
    state = application._starlette.state
    state.resources, state.document, state.page = resources, DOCUMENT, PAGE
    watches = [PartWatch[Any](answered, 1.0) for _ in range(3)]
    for watch in watches:
        asyncio.run(watch.ask_once())
    state.readiness = Readiness(*watches, signs=True)
    try:
        yield application, jobs
    finally:
        patch.undo()


async def asked_of(application: Application, request: HttpRequest) -> list[dict[str, Any]]:
    method, path, query, headers, body = request
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path.decode("ascii", "replace")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8470),
    }
    pieces = [*body] or [b""]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if pieces:
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(10):
        await application(scope, receive, send)
    return sent


# -- requests ----------------------------------------------------------------------------------------------------------

ODD_TEXTS = (
    "\0",
    "\ud83d",
    "é",
    "x" * 5_000,
    "9" * 5_000,
    "-1",
    "0",
    "201",
    "٣",
    "..",
    "%00",
    "a b",
    "",
    "main-" + "f" * 32,
)
HEADERS = (
    b"Idempotency-Key",
    b"traceparent",
    b"Last-Event-ID",
    b"Content-Type",
    b"Content-Length",
    b"Content-Encoding",
)
ODD_HEADERS = (
    *(
        b"",
        b"\xff",
        b"x" * 9_000,
        b"9" * 5_000,
        b"12.0",
        b"-1",
        b"\xd9\xa3.0",
        b"application/json; charset=utf-16",
        b"gzip",
    ),
    *(b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"order-17", b"text/plain", b"application/x-www-form-urlencoded"),
)


def request_to(operation: Operation) -> Callable[[Random], HttpRequest]:
    """Requests to this operation: most as a client makes them, some with something odd in one place."""

    def make(chance: Random) -> HttpRequest:
        headers = [(b"authorization", b"Bearer " + SECRET), (b"host", b"127.0.0.1:8470")]
        job = chance.choice((SUCCEEDED, SUCCEEDED, SUCCEEDED, SUCCEEDED, RUNNING, REFUSED))
        names = {"job": job, "model": "echo", "attempt": "1", "upload": PENDING.upload}
        query: list[tuple[str, str]] = []
        method, body = operation.method, [b""]
        if operation.body is not None and not isinstance(operation.body, str):
            headers.append((b"content-type", b"application/json"))
            body = in_pieces(chance, a_body(chance) if operation.body is SubmitRequest else an_upload(chance))
        elif operation.method == "PUT":
            body = in_pieces(chance, chance.choice((CLIP, CLIP, CLIP, b"", b"clips", CLIP[:3])))
        given = {p["name"]: p for p in operation.parameters if p["in"] == "query"}
        for name in given:
            if chance.random() < 0.3:
                query.append(
                    (
                        name,
                        {"limit": "7", "follow": "false", "state": "queued", "cursor": "", "part": "1"}.get(
                            name, "free"
                        ),
                    )
                )
        match chance.randrange(7) if chance.random() < (0.3 if operation.body else 0.55) else 9:
            case 0:
                names = dict.fromkeys(names, chance.choice(ODD_TEXTS))
            case 1:
                query.append((chance.choice((*given, "unknown", "")), chance.choice(ODD_TEXTS)))
            case 2:
                query.append((chance.choice((*given, "limit", "cursor")), cursor(chance)))
            case 3:
                headers.append((chance.choice(HEADERS).lower(), chance.choice(ODD_HEADERS)))
            case 4:
                headers[0] = (
                    b"authorization",
                    chance.choice((b"", b"Bearer", b"Basic x", b"Bearer hr_\xff", b"Bearer x")),
                )
            case 5:
                method = chance.choice(("GET", "HEAD", "POST", "PUT", "OPTIONS", "BREW"))
            case 6:
                body = [chance.randbytes(4), b"}" * 3]
        path = operation.path
        for name, text in names.items():
            path = path.replace("{" + name + "}", quote(text, safe="", errors="surrogatepass"))
        said = "&".join(f"{quote(n, errors='surrogatepass')}={quote(v, errors='surrogatepass')}" for n, v in query)
        return method, path.encode(), said.encode(), headers, body

    return make


def cursor(chance: Random) -> str:
    good = "MTcwMDAwMDAwMDAwMC5tYWluLTAwMDA"
    return changed(chance, good.encode()).decode("latin-1") if chance.random() < 0.7 else good


def a_body(chance: Random) -> bytes:
    model = chance.choice(("echo", "echo@live") * 4 + ("other",))
    asked: dict[str, Any] = {"model": model, "inputs": {"prompt": "a ball"}}
    if chance.random() < 0.4:
        asked["tier"] = chance.choice(("free", "api", "free", "api", "luxury"))
    if chance.random() < 0.4:
        asked["expires_in_s"] = chance.choice((1, 60, 60, 30 * 86_400, 30 * 86_400, 0, 2**63))
    if chance.random() < 0.1:
        asked["inputs"] = chance.choice(ODD_VALUES)
    return written(asked) if chance.random() < 0.4 else mostly_good(chance, written(asked))


def an_upload(chance: Random) -> bytes:
    asked: dict[str, Any] = {"bytes": chance.choice((len(CLIP), 1, 100_000_000) * 4 + (0, -1, 2**63))}
    if chance.random() < 0.4:
        asked["sha256"] = chance.choice(("a" * 64, "", "A" * 64))
    return written(asked) if chance.random() < 0.4 else mostly_good(chance, written(asked))


def in_pieces(chance: Random, body: bytes) -> list[bytes]:
    at = chance.randint(0, len(body))
    return [body[:at], body[at:]] if chance.random() < 0.3 else [body]


# -- what must hold of every answer ------------------------------------------------------------------------------------


def feed_to(operation: Operation) -> Callable[[HttpRequest], bool]:
    here = [each for each in OPERATIONS if each.path == operation.path]
    declared = {status for each in here for status in (*each.answers, *each.problems)}
    allowed = declared | {307, 401, 404, 405, 422}

    def feed(request: HttpRequest) -> bool:
        with an_application() as (application, jobs):
            if operation.path.endswith("/complete"):
                application.connect().store.put(upload_prefix("acme", PENDING.upload) + UPLOAD_DATA, CLIP)
            sent = asyncio.run(asked_of(application, request))
        begun = [message for message in sent if message["type"] == "http.response.start"]
        assert len(begun) == 1, sent
        status = begun[0]["status"]
        body = b"".join(message.get("body", b"") for message in sent)
        assert status in allowed, (status, body[:500])
        for name, value in begun[0]["headers"]:
            assert not set(b"\r\n\0") & set(name + value)
        if status >= 400 and request[0] != "HEAD" and body:
            problem = json.loads(body)
            assert status == problem.get("status", status)
            assert len(body) < 8_000
        for value, key, headers in jobs.records:
            assert_jobs_take(value, key, headers)
        return bool(status < 400)

    return feed


def assert_jobs_take(value: bytes, key: bytes, headers: list[tuple[str, bytes]]) -> None:
    behind = Behind()
    behind.pool.publish("echo", CPU)
    refusal = behind.take(value, key, headers)
    assert refusal == "", "what the API writes, the scheduler takes"
    behind.read_by_all()


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


DOORS = tuple(Door(name_of(each), request_to(each), feed_to(each), (name_of(each),)) for each in OPERATIONS)
