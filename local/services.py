"""The three servers without a process of ours: what an integration test needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from local.kafka_server import KafkaServer
from local.ports import free_port
from local.postgres_server import PostgresServer, remove_socket_dir
from local.s3_server import S3Server
from local.server import StackServer
from runtime.object_store import ObjectStore
from runtime.settings import Settings

WORDS_KEPT_MS = 3 * 86_400_000


class Services:
    """Kafka, Postgres and S3 in one directory, started side by side. Topics are not created; the bucket is.

    Each of `kafka`, `postgres`, `s3` can be killed (`kill()`: kill -9) and started again on the same port and data
    (`start()`, then `await_ready()`).
    """

    def __init__(
        self,
        data: Path,
        *,
        words_kept_ms: int = WORDS_KEPT_MS,
        broker_settings: Mapping[str, str] | None = None,
        durable: bool = True,
    ) -> None:
        """`words_kept_ms` sets the pace of the broker's cleaning. `broker_settings` win over those of kafka_server.
        `durable` False: Postgres makes no fsync."""
        kafka_port = free_port()
        controller_port = free_port(not_in={kafka_port})
        s3_port = free_port(not_in={kafka_port, controller_port})
        logs = data / "logs"
        self.data = data
        self.kafka = KafkaServer(
            data / "kafka",
            logs,
            port=kafka_port,
            controller_port=controller_port,
            words_kept_ms=words_kept_ms,
            overrides=broker_settings,
        )
        self.postgres = PostgresServer(data / "postgres", logs, durable=durable)
        self.s3 = S3Server(data / "s3", logs, port=s3_port)
        self.settings = Settings(
            kafka=self.kafka.bootstrap,
            kafka_development=True,
            database_url=self.postgres.url,
            s3_endpoint=self.s3.endpoint,
            s3_access_key=self.s3.access_key,
            s3_secret_key=self.s3.secret_key,
            data=data / "processes",
        )

    @property
    def servers(self) -> tuple[StackServer, ...]:
        return self.kafka, self.postgres, self.s3

    def start(self) -> None:
        """Start all three at once and wait until they answer. CannotStart names the server that does not."""
        with ThreadPoolExecutor(len(self.servers)) as pool:
            list(pool.map(_start, self.servers))
        ObjectStore(self.settings).ensure_bucket()

    def stop(self) -> None:
        with ThreadPoolExecutor(len(self.servers)) as pool:
            list(pool.map(lambda server: server.stop(), self.servers))
        remove_socket_dir(self.postgres)


@contextmanager
def running(
    data: Path,
    *,
    words_kept_ms: int = WORDS_KEPT_MS,
    broker_settings: Mapping[str, str] | None = None,
    durable: bool = True,
) -> Iterator[Services]:
    """Services that run while the `with` block does."""
    services = Services(data, words_kept_ms=words_kept_ms, broker_settings=broker_settings, durable=durable)
    try:
        services.start()
        yield services
    finally:
        services.stop()


def _start(server: StackServer) -> None:
    server.start()
    server.await_ready()
