"""One real Kafka broker (KRaft, broker and controller in one process) in a directory of ours."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException

from local import own_files
from local.errors import CannotStart
from local.jars import cache
from local.java import find_java, java_environment, properties
from local.java_server import JavaServer
from local.ports import HOST
from local.processes import Process
from runtime import kafka_clients
from runtime.kafka_credentials import PLAINTEXT, Brokers, KafkaCredentials
from runtime.private_files import UMASK

CLUSTER_ID = "aGVhZHJhY2UtbG9jYWwtMQ"
"""The same for every stack. The broker refuses a data directory that belongs to another cluster."""

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0

JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_LOGGING = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")

FIXED_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    # A transaction that its producer leaves open holds back the records behind it, for this long at most.
    "transaction.max.timeout.ms": "60000",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
    # A killed broker may register again only after its earlier session has lapsed (9 s by default).
    # A much shorter session would lapse on a machine that is busy for a moment, while the broker lives.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}

OPEN, GUARDED = "PLAINTEXT", "CLIENTS"
"""Names of the listener for clients."""
OPEN_SETTINGS = {
    "inter.broker.listener.name": OPEN,
    "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,{OPEN}:PLAINTEXT",
}

ADMIN = "admin"
"""The broker's own principal, by which it speaks to its controller. It may do anything."""


def guarded_settings(admin_password: str) -> dict[str, str]:
    """A broker that asks every client for its name, and allows it what an access rule allows.

    Users are kept as SCRAM credentials, which the admin makes while the broker runs: that works for a data directory of
    an earlier version too. The admin alone is known from this file, and alone reaches the controller."""
    login = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required"
        f' username="{ADMIN}" password="{admin_password}" user_{ADMIN}="{admin_password}";'
    )
    return {
        "inter.broker.listener.name": GUARDED,
        "listener.security.protocol.map": f"CONTROLLER:SASL_PLAINTEXT,{GUARDED}:SASL_PLAINTEXT",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": login,
        "listener.name.clients.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        "listener.name.clients.plain.sasl.jaas.config": login,
        "listener.name.clients.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{ADMIN}",
        "allow.everyone.if.no.acl.found": "false",
    }


_PROPERTIES = "server.properties"
_LOG_DIR = "log"
"""Relative to the directory in which Kafka runs: Kafka takes a comma in this setting for the end of a path."""

CLEANER_PACE_MS_MAX = 15_000


def cleaning_settings(words_kept_ms: int) -> dict[str, str]:
    """The cleaner's pace, so that words are gone within the time that the policy promises.

    The cleaner works every tenth of that time, and at least as often as by Kafka's defaults: 15 s between compactions,
    5 min between retention checks, 1 min until a deleted segment's file goes, 30 s before the first look.
    """
    pace = max(200, words_kept_ms // 10)
    return {
        "log.cleaner.backoff.ms": str(min(CLEANER_PACE_MS_MAX, pace)),
        "log.retention.check.interval.ms": str(min(300_000, pace)),
        "log.segment.delete.delay.ms": str(min(60_000, pace)),
        "log.initial.task.delay.ms": str(min(30_000, pace)),
    }


class KafkaServer(JavaServer):
    """Clients use `port`, the broker's own controller uses `controller_port`. Broker settings in `overrides` win over
    those of this file."""

    name = "kafka"
    ready_timeout_s = READY_TIMEOUT_S
    stop_timeout_s = STOP_TIMEOUT_S

    def __init__(
        self,
        data: Path,
        logs: Path,
        *,
        port: int,
        controller_port: int,
        words_kept_ms: int,
        overrides: Mapping[str, str] | None = None,
        host: str = HOST,
        admin_password: str = "",
    ) -> None:
        """`host`: the address at which clients reach the broker; one of IPv6 has no brackets. `admin_password`: of the
        broker's own principal, User:admin. Empty: clients have no names and may do anything."""
        self.port = port
        self.bootstrap = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        shown = KafkaCredentials(security="sasl_plaintext", mechanism="PLAIN", user=ADMIN, password=admin_password)
        self.brokers = Brokers(self.bootstrap, shown if admin_password else PLAINTEXT)
        listener = GUARDED if admin_password else OPEN
        self._data = data
        self._logs = logs
        self._settings = {
            **FIXED_SETTINGS,
            **cleaning_settings(words_kept_ms),
            "listeners": f"{listener}://{self.bootstrap},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": f"{listener}://{self.bootstrap}",
            **(guarded_settings(admin_password) if admin_password else OPEN_SETTINGS),
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
            "log.dirs": _LOG_DIR,
            **(overrides or {}),
        }
        super().__init__()

    @property
    def log_dir(self) -> Path:
        """Where the bytes of the topics are: <topic>-<partition>/*.log."""
        return self._data / _LOG_DIR

    def ready(self) -> bool:
        """Whether this broker answers a metadata request."""
        if not super().ready():
            return False
        try:
            admin = kafka_clients.admin_client({**self.brokers.librdkafka(), "log_level": 0})
            return bool(admin.list_topics(timeout=5).brokers)
        except KafkaException:
            return False

    def _prepare(self) -> Process:
        java = find_java()
        classpath = cache.classpath("kafka")
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        own_files.replace(self._data / _PROPERTIES, properties(self._settings).encode())
        if not (self.log_dir / "meta.properties").exists():
            self._format(java, classpath)
        command = [java, *JVM, *_LOGGING, "-cp", classpath, "kafka.Kafka", _PROPERTIES]
        return Process("kafka", command, self._logs / "kafka.log", env=java_environment(), directory=self._data)

    def _format(self, java: str, classpath: str) -> None:
        command = [java, *JVM, *_LOGGING, "-cp", classpath, "kafka.tools.StorageTool", "format"]
        command += ["-t", CLUSTER_ID, "-c", _PROPERTIES, "--ignore-formatted"]
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=READY_TIMEOUT_S,
            check=False,
            env=java_environment(),
            cwd=self._data,
            umask=UMASK,
        )
        if answer.returncode:
            raise CannotStart(
                f"Kafka to prepare {self.log_dir}",
                (answer.stdout + answer.stderr)[-1_000:].strip(),
                "Mend what Kafka says and start again",
            )
