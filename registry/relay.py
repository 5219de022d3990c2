"""The relay: carries the outbox to the schedulers. `python -m registry.relay`.

The relay takes the oldest row, writes it to the partition of its pool, waits for the ack of the broker, marks the row,
and only then takes the next. So a pool hears of a version before it hears of an alias that points to the version, and
of moves in their order. A crash between ack and mark writes the record again, which changes nothing: a version is known
by its digest and a move by its number. While the broker takes nothing of one pool, rows of that pool rest, and those of
other pools go on.

Of several relays, the one that holds the advisory lock works; the others wait. The lock is that of a transaction, which
carries one row: it is marked first, then written, then the mark is committed after the ack. So a database that takes no
writes is noticed before anything is written to the broker, and a pooler may stand between. Through a pooler nothing can
be listened to, and the relay looks every POLL_S.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from prometheus_client import Counter, Gauge
from psycopg import Connection as DriverConnection
from sqlalchemy import Engine, Row, text

from contract import signers
from contract.inputs import AliasMoved, VersionPublished
from contract.media import rules_digest
from contract.names import actor_name
from contract.signing import RecordSigner
from registry.errors import RegistryError
from registry.manifest import Manifest, decode_manifest
from registry.outbox import CHANNEL
from registry.schemas import SchemaRefused, media_fields, rules_of
from runtime import jobs_writer
from runtime.anonymous_clients import require_names
from runtime.entry import run_process
from runtime.kafka import DeliveryUnclear, Producer
from runtime.outage_watch import OutageWatch
from runtime.postgres import engine as engine_for
from runtime.postgres import is_pooled
from runtime.postgres_troubles import DATABASE_ERRORS, in_a_sentence
from runtime.settings import Settings
from runtime.shutdown import on_signal
from runtime.telemetry import configure_logging, serve_metrics

RELAY_LOCK = 0x7265_6C61
"""Number of the advisory lock. The transaction of the working relay holds it."""
POLL_S = 1.0
"""The relay looks at the outbox this often without a notification, and sees a stop within this time."""
SOURCE = "/headrace/registry"

log = structlog.get_logger(__name__)
relayed = Counter("headrace_registry_relayed_total", "Records carried from the outbox to jobs.", ["record"])
waiting = Gauge("headrace_registry_outbox_waiting", "Outbox rows that the schedulers were not told yet.")
failures = Counter("headrace_registry_relay_failures_total", "Interruptions of the relay, by what failed.", ["part"])


_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
_OLDEST = text(
    "SELECT o.id, o.event_id, o.model, o.version, o.alias, o.move, p.partition,"
    " CASE WHEN o.alias = '' THEN (SELECT v.manifest FROM registry.versions v"
    " WHERE v.model = o.model AND v.digest = o.version) END AS manifest,"
    " CASE WHEN o.alias <> '' THEN (SELECT a.moved_by FROM registry.alias_moves a"
    " WHERE a.model = o.model AND a.alias = o.alias AND a.move = o.move) END AS moved_by,"
    " (SELECT count(*) FROM registry.outbox w WHERE w.published_at IS NULL) AS waiting"
    " FROM registry.outbox o JOIN registry.models m ON m.name = o.model"
    " JOIN registry.pools p ON p.name = m.pool"
    " WHERE o.published_at IS NULL AND p.partition <> ALL(CAST(:resting AS integer[])) ORDER BY o.id LIMIT 1"
)
_MARK = text("UPDATE registry.outbox SET published_at = clock_timestamp() WHERE id = :id AND published_at IS NULL")


class NotTold(Exception):
    """The broker has not acknowledged a record of this partition of `jobs`. The message says why."""

    def __init__(self, partition: int, found: str) -> None:
        super().__init__(found)
        self.partition = partition


class Relay:
    """Carries outbox rows while `run` runs."""

    def __init__(self, engine: Engine, producer: Producer, signer: RecordSigner) -> None:
        self._engine = engine
        self._producer, self._signer = producer, signer
        self._told: tuple[int, str] | None = None
        """The row that was acknowledged last: while its mark cannot be committed it is not written again."""
        self._brokers: dict[int, OutageWatch] = {}
        """By partition of `jobs`, of those of which the broker took nothing once."""
        self._resting: dict[int, float] = {}
        """By partition, until when its rows rest (monotonic clock)."""

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set. Restarts of Postgres and of the broker do not end it."""
        database = OutageWatch("the relay waits for the database", "the relay reaches the database again")
        while not stop.is_set():
            try:
                self._session(stop, database.worked)
            except DATABASE_ERRORS as error:
                failures.labels("postgres").inc()
                stop.wait(database.failed(in_a_sentence(error)))

    def _session(self, stop: threading.Event, worked: Callable[[], None]) -> None:
        """Carries rows for as long as one session of the database lasts, which listens for new ones. `worked()` hears
        whenever the database has answered."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, DriverConnection)
            pooled = is_pooled(driver)
            if not pooled:
                connection.execute(text(f"LISTEN {CHANNEL}"))
            try:
                while not stop.is_set():
                    carried = self._carry_or_rest()
                    worked()
                    if not carried and pooled:
                        stop.wait(POLL_S)
                    elif not carried:
                        _await_notification(driver)
            finally:
                connection.invalidate()  # the session listens, so it must not go back to the pool

    def _carry_or_rest(self) -> bool:
        """As `_carry_one`, and if the broker does not take the row, the rows of its pool rest."""
        now_s = time.monotonic()
        self._resting = {partition: until_s for partition, until_s in self._resting.items() if until_s > now_s}
        try:
            return self._carry_one()
        except NotTold as found:
            failures.labels("kafka").inc()
            watch = self._brokers.setdefault(
                found.partition,
                OutageWatch("the relay waits for the broker, and sends again", "the relay reaches the broker again"),
            )
            rest_s = watch.failed(str(found), partition=found.partition)
            self._resting[found.partition] = time.monotonic() + rest_s
            return True

    def _carry_one(self) -> bool:
        """Publishes and marks the oldest row of a pool that does not rest. False when there is none, or another relay
        works. NotTold."""
        with self._engine.begin() as connection:
            if not connection.execute(_LOCK, {"lock": RELAY_LOCK}).scalar_one():
                return False
            row = connection.execute(_OLDEST, {"resting": list(self._resting)}).one_or_none()
            if row is not None:
                waiting.set(row.waiting)
            elif not self._resting:
                waiting.set(0)
            if row is None:
                return False
            connection.execute(_MARK, {"id": row.id})
            if self._told != (row.id, row.event_id):
                self._tell(row)
                self._told = (row.id, row.event_id)
        return True

    def _tell(self, row: Row[Any]) -> None:
        """Publishes what the row says. A version whose manifest nobody can read is marked and not told of: it could
        never run, and the rows behind it must not wait."""
        try:
            record = record_of(row)
        except RegistryError as error:
            failures.labels("manifest").inc()
            log.error("a version cannot run, and no scheduler is told of it", version=row.version, found=str(error))
            return
        self._publish(row.event_id, record, row.partition)

    def _publish(self, event_id: str, record: VersionPublished | AliasMoved, partition: int) -> None:
        began = time.monotonic()
        signed = self._signer.record(
            record, partition=partition, key=uuid.uuid4().hex.encode(), event_id=event_id, source=SOURCE
        )
        try:
            delivery = jobs_writer.send_and_wait(self._producer, signed)
        except DeliveryUnclear as error:
            raise NotTold(partition, str(error)) from None
        if partition in self._brokers:
            self._brokers[partition].worked(partition=partition)
        relayed.labels(type(record).__name__).inc()
        log.info(
            "told the scheduler",
            record=type(record).__name__,
            event_id=event_id,
            partition=partition,
            offset=delivery.offset,
            elapsed_ms=round((time.monotonic() - began) * 1000, 1),
        )


def record_of(row: Row[Any]) -> VersionPublished | AliasMoved:
    """What a row of the outbox tells a scheduler, taken from what the registry holds. RegistryError(corrupt) when the
    manifest of the version is none, or another model's: an author can store any text as a manifest."""
    if row.alias:
        return AliasMoved(row.model, row.alias, row.version, row.move, actor_name(row.moved_by or ""))
    manifest = decode_manifest((row.manifest or "").encode(), row.version)
    if manifest.name != row.model:
        raise RegistryError("corrupt", f"expected the manifest of model {row.model}, found that of another model")
    return VersionPublished(
        row.model, row.version, manifest.requirements, timeout_ms=manifest.timeout_ms, prepares=_prepares(manifest)
    )


def _prepares(manifest: Manifest) -> str:
    """Empty for a version without media, and for one that a release before media let in with such words elsewhere."""
    try:
        return rules_digest(rules_of(media_fields(manifest.inputs)))
    except SchemaRefused:
        return ""


def _await_notification(driver: DriverConnection[Any]) -> None:
    """Returns when an outbox row has been committed, or after POLL_S."""
    for _ in driver.notifies(timeout=POLL_S, stop_after=1):
        pass


def main() -> None:
    settings = Settings()
    configure_logging("relay", settings.log_level)
    require_names(settings)
    signer = jobs_writer.process_signer(settings, signers.RELAY)
    serve_metrics(settings.metrics_port)
    stop = on_signal()
    engine = engine_for(settings)
    producer = Producer(settings.brokers, "registry-relay")
    log.info("relay is up")
    try:
        Relay(engine, producer, signer).run(stop)
    finally:
        producer.close()
        engine.dispose()
    log.info("relay is down")


if __name__ == "__main__":
    sys.exit(run_process("relay", main))
