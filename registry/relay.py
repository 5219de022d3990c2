"""The relay: carries the outbox to the schedulers. `python -m registry.relay`.

The relay takes the oldest row, writes it to the partition of its pool, waits for the ack of the broker, marks the row,
and only then takes the next. So a pool hears of a version before it hears of an alias that points to the version, and
of moves in their order. A crash between ack and mark writes the record again, which changes nothing: a version is known
by its digest and a move by its number. Of several relays, the one that holds the advisory lock works; the others wait.
"""

from __future__ import annotations

import threading
import time
import uuid

import structlog
from prometheus_client import Counter, Gauge
from psycopg import Connection as DriverConnection
from psycopg import Error as DriverError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from contract.codec import decode_wire, headers_for
from contract.inputs import AliasMoved, VersionPublished
from contract.topics import JOBS
from registry.outbox import CHANNEL
from runtime.kafka import DeliveryUnclear, Producer
from runtime.postgres import engine as engine_for
from runtime.settings import Settings
from runtime.shutdown import on_signal
from runtime.telemetry import configure_logging, serve_metrics

RELAY_LOCK = 0x7265_6C61
"""Number of the advisory lock. The session of the working relay holds it."""
POLL_S = 1.0
"""The relay looks at the outbox this often without a notification, and sees a stop within this time."""
RETRY_S = 1.0
"""Pause after a failure of the broker or the database."""
SOURCE = "/headrace/registry"

log = structlog.get_logger(__name__)
relayed = Counter("headrace_registry_relayed_total", "Records carried from the outbox to jobs.", ["record"])
waiting = Gauge("headrace_registry_outbox_waiting", "Outbox rows that the schedulers were not told yet.")
failures = Counter("headrace_registry_relay_failures_total", "Interruptions of the relay, by what failed.", ["part"])


class Relay:
    """Carries outbox rows while `run` runs."""

    def __init__(self, engine: Engine, producer: Producer) -> None:
        self._engine = engine
        self._producer = producer

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set. Restarts of Postgres and of the broker do not end it."""
        while not stop.is_set():
            try:
                self._session(stop)
            except (DBAPIError, DriverError) as error:
                failures.labels("postgres").inc()
                log.warning("relay lost the database, tries again", error=type(getattr(error, "orig", error)).__name__)
            except DeliveryUnclear as error:
                failures.labels("kafka").inc()
                log.warning("relay has no ack from the broker, sends again", error=str(error))
            else:
                continue
            stop.wait(RETRY_S)

    def _session(self, stop: threading.Event) -> None:
        """One database session. The end of the session frees the lock, whatever the cause."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"LISTEN {CHANNEL}"))
            try:
                while not stop.is_set():
                    if self._take_lock(connection):
                        self._drain(connection, stop)
                        _await_notification(connection)
                    else:
                        stop.wait(POLL_S)
            finally:
                connection.invalidate()  # the session has LISTEN and the lock, so it must not go back to the pool

    def _take_lock(self, connection: Connection) -> bool:
        """Takes the lock unless this session holds it. False when another relay holds it."""
        held = text(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            " AND classid = 0 AND objid = :lock AND granted) OR pg_try_advisory_lock(:lock)"
        )
        return bool(connection.execute(held, {"lock": RELAY_LOCK}).scalar_one())

    def _drain(self, connection: Connection, stop: threading.Event) -> None:
        while not stop.is_set() and self._carry_one(connection):
            pass

    def _carry_one(self, connection: Connection) -> bool:
        """Publishes and marks the oldest row; False when no row waits."""
        row = connection.execute(
            text(
                "SELECT o.id, o.event_id, o.record, p.partition,"
                " (SELECT count(*) FROM registry.outbox w WHERE w.published_at IS NULL) AS waiting"
                " FROM registry.outbox o JOIN registry.models m ON m.name = o.model"
                " JOIN registry.pools p ON p.name = m.pool"
                " WHERE o.published_at IS NULL ORDER BY o.id LIMIT 1"
            )
        ).one_or_none()
        if row is None:
            waiting.set(0)
            return False
        waiting.set(row.waiting)
        self._publish(row.event_id, row.record.encode(), row.partition)
        connection.execute(
            text("UPDATE registry.outbox SET published_at = clock_timestamp() WHERE id = :id AND published_at IS NULL"),
            {"id": row.id},
        )
        return True

    def _publish(self, event_id: str, value: bytes, partition: int) -> None:
        record = decode_wire(value)
        if not isinstance(record, VersionPublished | AliasMoved):
            raise TypeError(f"expected VersionPublished or AliasMoved in the outbox, found {type(record).__name__}")
        began = time.monotonic()
        delivery = self._producer.send_and_wait(
            JOBS,
            value,
            key=uuid.uuid4().hex.encode(),
            headers=headers_for(record, event_id, SOURCE),
            partition=partition,
        )
        relayed.labels(type(record).__name__).inc()
        log.info(
            "told the scheduler",
            record=type(record).__name__,
            event_id=event_id,
            partition=partition,
            offset=delivery.offset,
            elapsed_ms=round((time.monotonic() - began) * 1000, 1),
        )


def _await_notification(connection: Connection) -> None:
    """Returns when an outbox row has been committed, or after POLL_S."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, DriverConnection)
    for _ in driver.notifies(timeout=POLL_S, stop_after=1):
        pass


def main() -> None:
    configure_logging("relay")
    settings = Settings()
    serve_metrics(settings.metrics_port)
    stop = on_signal()
    engine = engine_for(settings)
    producer = Producer(settings.kafka, "registry-relay")
    log.info("relay is up")
    try:
        Relay(engine, producer).run(stop)
    finally:
        producer.close()
        engine.dispose()
    log.info("relay is down")


if __name__ == "__main__":
    main()
