"""A real API over HTTP on real servers of its own, without a scheduler: ledgers are written by hand into the views."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Literal

import httpx
import msgspec
import pytest
from sqlalchemy import Engine, text

import migrations
from api import readiness
from api.__main__ import ApiServer, listen_on
from api.app import Application
from contract.batch import Batch
from contract.policy import Cluster, Policy, Pool, Tier
from contract.topics import topics_for
from local.processes import Process
from local.services import Services, running
from registry import keys, pools, publishing
from runtime import postgres
from runtime.kafka import Record, ensure_topics, offsets, read_range
from runtime.object_store import ObjectStore
from runtime.roles import Role
from tests.integration.databases import logged_in
from tests.unit.registry.samples import MODEL_YAML, write_model
from tests.unit.views.ledger import Ledger
from tests.waiting import until
from views import projection
from views.projection import CountedRecord

POLICY = Policy(
    tiers={"free": Tier(60_000), "api": Tier(1_000), "gold": Tier(500)},
    pools={"main": Pool(0), "other": Pool(1)},
    clusters={"east": Cluster("main", 4), "west": Cluster("main", 4), "far": Cluster("other", 4)},
    payload_bytes_max=2_048,
)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Servers for this folder only, because its tests stop the broker and `jobs` needs their partitions."""
    with running(tmp_path_factory.mktemp("api"), durable=False) as services:
        ensure_topics(services.settings.brokers, topics_for(POLICY))
        migrations.upgrade(services.settings.database_url)
        yield services


def kafka_process(servers: Services) -> Process:
    process = servers.kafka.process
    assert process is not None
    return process


@pytest.fixture(scope="session")
def engine(servers: Services) -> Iterator[Engine]:
    engine = postgres.engine(servers.settings)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def store(servers: Services) -> ObjectStore:
    return ObjectStore(servers.settings)


class UnreadLedger(Ledger):
    """Its scheduler has read nothing of `jobs`: nobody has set aside what the API under test writes there."""

    def copy(self, batch: Batch) -> CountedRecord:
        return super().copy(msgspec.structs.replace(batch, position=0))


class Views:
    """The ledgers of both pools; `show` brings what was written into the views."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.main = UnreadLedger("main")
        self.other = UnreadLedger("other")
        for ledger in (self.main, self.other):
            ledger.open()
            ledger.adopt(POLICY)
            self.show(ledger)

    def show(self, ledger: Ledger | None = None) -> None:
        ledger = ledger or self.main
        with self._engine.begin() as connection:
            projection.apply_all(connection, ledger.pool, ledger.records)


@pytest.fixture(scope="session")
def views(engine: Engine, servers: Services) -> Views:
    return Views(engine)


@pytest.fixture(scope="session")
def published(
    engine: Engine, store: ObjectStore, tmp_path_factory: pytest.TempPathFactory, views: Views
) -> dict[str, str]:
    """Version digests by model: echo (pool main), aside (pool other), both relayed; late (main), which is not."""
    pools.register(engine, POLICY)
    digests = {}
    for name, pool in (("echo", "main"), ("aside", "other"), ("late", "main")):
        directory = write_model(
            tmp_path_factory.mktemp("models") / name, yaml=MODEL_YAML.replace("name: echo", f"name: {name}")
        )
        done = publishing.publish(directory, engine=engine, store=store, who="tests", pool=pool, alias="live")
        digests[name] = done.version.digest
        if name != "late":
            with engine.begin() as connection:
                connection.execute(
                    text("UPDATE registry.outbox SET published_at = clock_timestamp() WHERE model = :m"), {"m": name}
                )
    return digests


@pytest.fixture(scope="session")
def base_url(servers: Services, published: dict[str, str]) -> Iterator[str]:
    """The API, in a thread of this process. It asks its parts more often than one that serves."""
    patch = pytest.MonkeyPatch()
    for name in ("ASK_EVERY_S", "STORE_EVERY_S", "ASK_AGAIN_S"):
        patch.setattr(readiness, name, 0.2)
    settings = logged_in(servers.settings, Role.API)
    application = Application(settings.model_copy(update={"api_metrics_public": True}))
    server = ApiServer(application)
    listener = listen_on("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    until(lambda: server.started or not thread.is_alive(), "the API has started")
    assert thread.is_alive()
    yield url
    application.end_streams()
    server.should_exit = True
    thread.join(20)
    listener.close()
    assert not thread.is_alive()
    patch.undo()


class Caller:
    """One tenant with a key, and its HTTP client."""

    def __init__(self, tenant: str, secret: str, client: httpx.Client) -> None:
        self.tenant = tenant
        self.secret = secret
        self.http = client

    @property
    def key_id(self) -> str:
        return f"key_{self.secret.split('_')[1]}"

    def submit(self, prompt: str = "a heron", *, key: str = "", **fields: object) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post(
            "/v1/jobs", json={"model": "echo", "inputs": {"prompt": prompt}} | fields, headers=headers, timeout=30
        )


CallerFactory = Callable[..., Caller]


@pytest.fixture
def caller_of(engine: Engine, base_url: str) -> Iterator[CallerFactory]:
    """Makes callers, each a new tenant."""
    clients: list[httpx.Client] = []

    def make(
        tiers: tuple[str, ...] = ("free", "api"), scope: Literal["user", "operator"] = "user", tenant: str = ""
    ) -> Caller:
        tenant = tenant or "t" + uuid.uuid4().hex[:12]
        secret = keys.create(engine, tenant, tiers, scope)
        client = httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {secret}"}, timeout=10)
        clients.append(client)
        return Caller(tenant, secret, client)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def caller(caller_of: CallerFactory) -> Caller:
    return caller_of()


@pytest.fixture
def written(servers: Services) -> Callable[[], list[Record]]:
    """What was written to `jobs` since the test began."""
    brokers = servers.settings.brokers
    begun = [offsets(brokers, "jobs", partition)[1] for partition in (0, 1)]

    def read() -> list[Record]:
        return [
            record
            for partition in (0, 1)
            for record in read_range(
                brokers, "jobs", partition, begun[partition], offsets(brokers, "jobs", partition)[1]
            )
        ]

    return read
