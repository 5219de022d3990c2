"""The users of docker-compose.yml without docker: its broker's settings, its admin's command, and its `install`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from contract.topics import JOBS, LEDGER, PROGRESS, QUARANTINE, SUBMISSIONS, dispatch_topic
from local.jars import cache
from local.java import find_java, java_environment
from local.kafka_server import KafkaServer
from local.ports import HOST, free_port
from local.services import WORDS_KEPT_MS, Services
from runtime import kafka, kafka_clients
from runtime.anonymous_clients import Treated, ask
from runtime.kafka_credentials import Brokers
from runtime.settings import SECRETS_VARIABLE, Settings
from tests.compose import SERVICES, SET_BY_A_USER, broker_settings, filled

PASSWORD = SET_BY_A_USER["KAFKA_ADMIN_PASSWORD"]


class ComposeBroker(NamedTuple):
    inside: str
    """Where other containers reach it."""
    outside: str
    """Where clients on this machine do."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ComposeBroker]:
    """The broker `kafka` of compose, on this machine."""
    ports: list[int] = []
    for _ in range(3):
        ports.append(free_port(not_in=set(ports)))
    inside, controller, outside = ports
    here = {
        "listeners": f"CLIENTS://{HOST}:{inside},CONTROLLER://{HOST}:{controller},HOST://{HOST}:{outside}",
        "advertised.listeners": f"CLIENTS://{HOST}:{inside},HOST://{HOST}:{outside}",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "log.dirs": "log",
    }
    server = KafkaServer(
        tmp_path / "kafka",
        tmp_path / "logs",
        port=inside,
        controller_port=controller,
        words_kept_ms=WORDS_KEPT_MS,
        overrides=broker_settings("kafka") | here,
        admin_password=PASSWORD,
    )
    try:
        server.start()
        server.await_ready()
        yield ComposeBroker(server.bootstrap, f"{HOST}:{outside}")
    finally:
        server.stop()


def make_admin(broker: ComposeBroker, folder: Path) -> None:
    """What the container `kafka-admin` runs."""
    service = SERVICES["kafka-admin"]
    script = str(service["command"][-1]).replace("$$", "$").replace("/tmp/", f"{folder}/")
    tool = f"{find_java()} -cp '{cache.classpath('kafka')}' kafka.admin.ConfigCommand"
    assert "/opt/kafka/bin/kafka-configs.sh" in script
    environment = {name: filled(text, SET_BY_A_USER) for name, text in service["environment"].items()}
    subprocess.run(
        [*service["command"][:-1], script.replace("/opt/kafka/bin/kafka-configs.sh", tool)],
        env=java_environment() | environment | {"BROKERS": broker.inside},
        check=True,
        timeout=60,
    )


def test_install_makes_a_user_for_each_process_who_does_its_work_and_no_more(
    own: Services, broker: ComposeBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = tmp_path / "secrets"
    make_admin(broker, tmp_path)
    admin = {"HEADRACE_KAFKA_USER": "admin", "HEADRACE_KAFKA_PASSWORD": PASSWORD}
    environment = os.environ | own.settings.environment() | admin
    environment |= {"HEADRACE_KAFKA": broker.inside, "HEADRACE_KAFKA_SECURITY": "sasl_plaintext"}
    environment |= {"HEADRACE_KAFKA_DEVELOPMENT": "false", "HEADRACE_DATA": str(tmp_path / "data")}
    arguments = ["--keys", str(tmp_path / "keys.json"), "--secrets", str(secrets), "--kafka-users"]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "local.install", *arguments, "--node", "local/node-1"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def brokers_of(folder: str, address: str) -> Brokers:
        monkeypatch.setenv(SECRETS_VARIABLE, str(secrets / folder))
        return Settings(kafka=address, kafka_security="sasl_plaintext").brokers

    def topics(folder: str, address: str) -> set[str]:
        """Those that the broker tells it of: all on which it may do anything."""
        config = brokers_of(folder, address).librdkafka()
        return set(kafka_clients.admin_client({**config, "log_level": 0}).list_topics(timeout=10).topics)

    shown = {folder: topics(folder, broker.inside) for folder in ("scheduler", "api", "intake", "projector", "relay")}
    orders = dispatch_topic("local")
    assert shown == {
        "scheduler": {JOBS, LEDGER, QUARANTINE, orders, dispatch_topic("cpus")},
        "api": {JOBS, LEDGER, PROGRESS},
        "intake": {SUBMISSIONS, JOBS, QUARANTINE},
        "projector": {LEDGER},
        "relay": {JOBS},
    }
    assert topics("node-1", broker.inside) == {JOBS, PROGRESS, orders}
    assert topics("producer", broker.outside) == {SUBMISSIONS}
    assert kafka.offsets(brokers_of("operator", broker.outside), JOBS, 0) == (0, 1), "the first policy, once"
    for address in broker:
        assert [answer.treated for answer in ask(Brokers(address))] == [Treated.TURNED_AWAY]
