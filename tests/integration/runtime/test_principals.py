"""A broker with an authorizer, and one principal for each role: each does its work, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import GroupAuthorizationFailedError
from confluent_kafka import KafkaError, KafkaException
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from contract.access import access_rules, principal_of
from contract.topics import JOBS, LEDGER, PROGRESS, QUARANTINE, SUBMISSIONS, dispatch_topic, topics_for
from local.first_policy import read_policy
from local.kafka_server import KafkaServer
from local.ports import free_port
from local.services import WORDS_KEPT_MS
from runtime import kafka, kafka_clients
from runtime.anonymous_clients import ASK_TIMEOUT_S, Treated, ask
from runtime.kafka_access import apply_access
from runtime.kafka_credentials import PLAINTEXT, Brokers, KafkaCredentials
from runtime.kafka_users import set_users
from streams.hosting.faust_credentials import broker_credentials
from tests.waiting import until

POLICY = read_policy()
CLUSTER = next(iter(POLICY.clusters))
PREFIX = "headrace-"
RULES = access_rules(POLICY)
ROLES = sorted({rule.role for rule in RULES})
TOKENS = {
    "listener.name.clients.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
    "listener.name.clients.oauthbearer.sasl.jaas.config": (
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
    ),
}
"""A broker that takes a token which nobody signed: Kafka's own way to try a client."""
TOPICS = tuple(topic.name for topic in topics_for(POLICY))


def as_role(brokers: Brokers, role: str, password: str = "") -> Brokers:
    shown = KafkaCredentials(security="sasl_plaintext", user=PREFIX + role, password=password or f"password of {role}")
    return Brokers(brokers.addresses, shown)


def server(data: Path, port: int, **options: Any) -> KafkaServer:
    controller_port = free_port(not_in={port})
    return KafkaServer(
        data / "kafka",
        data / "logs",
        port=port,
        controller_port=controller_port,
        words_kept_ms=WORDS_KEPT_MS,
        **options,
    )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """As its admin. Every role has a user, and the rules are kept. The data is of a broker that let everyone in."""
    data, port = tmp_path_factory.mktemp("guarded"), free_port()
    before = server(data, port)
    before.start()
    try:
        before.await_ready()
        kafka.ensure_topics(before.brokers, topics_for(POLICY))
        assert [(answer.treated, answer.topics) for answer in ask(before.brokers)] == [(Treated.LET_IN, len(TOPICS))]
    finally:
        before.stop()
    broker = server(data, port, admin_password="drawn", overrides=TOKENS)
    broker.start()
    try:
        broker.await_ready()
        set_users(broker.brokers, {PREFIX + role: f"password of {role}" for role in ROLES})
        apply_access(broker.brokers, RULES, PREFIX)
        yield broker.brokers
    finally:
        broker.stop()


def writes(brokers: Brokers, *topics: str) -> set[str]:
    """To which of these topics they may write. All are tried at once, by a client that asks for no more than that."""
    told: dict[str, KafkaError | None] = {}
    producer = kafka_clients.producer({**brokers.librdkafka(), "log_level": 0, "message.timeout.ms": 20_000})
    for topic in topics:
        producer.produce(topic, b"{}", key=b"k", partition=0, on_delivery=lambda e, m: told.__setitem__(m.topic(), e))
    assert producer.flush(30) == 0
    assert {error.code() for error in told.values() if error} <= {KafkaError.TOPIC_AUTHORIZATION_FAILED}
    return {topic for topic in topics if told[topic] is None}


def may_read(brokers: Brokers, topic: str, within_s: float = 20.0) -> bool:
    reader = kafka.Reader(brokers, {(topic, 0): 0}, client_id="headrace-test")
    try:
        return bool(reader.read(within_s))
    except KafkaException as refused:
        if refused.args[0].code() not in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
            raise
        return False
    finally:
        reader.close()


def test_a_second_time_changes_nothing(guarded: Brokers) -> None:
    assert apply_access(guarded, RULES, PREFIX) == ((), ())


@pytest.mark.parametrize("role", ROLES)
def test_a_role_writes_what_the_table_says_and_nothing_else(guarded: Brokers, role: str) -> None:
    allowed = {
        topic
        for topic in TOPICS
        for rule in RULES
        if (rule.role, rule.resource, rule.operation) == (role, "topic", "write")
        and (topic.startswith(rule.name) if rule.prefixed else topic == rule.name)
    }
    assert writes(as_role(guarded, role), *TOPICS) == allowed


@pytest.mark.parametrize(
    "shown", [PLAINTEXT, KafkaCredentials(security="sasl_plaintext", user="headrace-operator", password="wrong")]
)
def test_a_client_without_a_name_or_with_another_password_is_refused(guarded: Brokers, shown: KafkaCredentials) -> None:
    asked = kafka_clients.admin_client({**Brokers(guarded.addresses, shown).librdkafka(), "log_level": 0})
    with pytest.raises(KafkaException):
        asked.list_topics(timeout=2)


def test_such_a_broker_is_known_within_moments(guarded: Brokers) -> None:
    for shown in (guarded, Brokers(guarded.addresses)):
        began_s = time.monotonic()
        assert [answer.treated for answer in ask(shown)] == [Treated.TURNED_AWAY]
        assert time.monotonic() - began_s < ASK_TIMEOUT_S / 2


def test_faust_reads_in_the_group_of_its_role_and_in_no_other(guarded: Brokers) -> None:
    shown = as_role(guarded, "projector").credentials
    assert writes(guarded, LEDGER)

    async def first(group: str) -> Any:
        consumer = AIOKafkaConsumer(
            LEDGER,
            bootstrap_servers=guarded.addresses,
            group_id=group,
            auto_offset_reset="earliest",
            **credentials_to_aiokafka_auth(broker_credentials(shown)),
        )
        try:
            await consumer.start()
            async with asyncio.timeout(20):
                return (await consumer.getone()).value
        finally:
            await consumer.stop()

    assert asyncio.run(first("headrace-projector")) == b"{}"
    with pytest.raises(GroupAuthorizationFailedError):
        asyncio.run(first("headrace-intake"))


def test_who_may_read_reads_without_being_in_a_group(guarded: Brokers) -> None:
    node = f"node.{CLUSTER}"
    for role, topic in (
        ("auditor", LEDGER),
        ("api", PROGRESS),
        (node, dispatch_topic(CLUSTER)),
        ("operator", QUARANTINE),
    ):
        assert writes(guarded, topic)
        assert may_read(as_role(guarded, role), topic), role
        assert kafka.offsets(as_role(guarded, role), topic, 0)[1] > 0, role
    for role, topic in (("producer", SUBMISSIONS), (node, LEDGER), ("relay", JOBS)):
        assert writes(guarded, topic)
        assert not may_read(as_role(guarded, role), topic, 3.0), role


def test_who_may_write_nothing_is_told_so_as_often_as_it_tries(guarded: Brokers) -> None:
    producer = kafka.Producer(as_role(guarded, "projector"), "headrace-test", delivery_timeout_ms=5_000)
    for _ in range(2):
        with pytest.raises(kafka.DeliveryUnclear, match=r"AUTHORIZATION_FAILED|_FATAL"):
            producer.send_and_wait(JOBS, b"{}", partition=0)
        until(lambda: producer._fatal, "the library gives the client up")
    assert producer._thread.is_alive()
    producer.close()


def test_a_token_that_is_made_here_reaches_the_broker_by_both_clients(
    guarded: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for IAM, but for the token, which only AWS could check: this broker reads who it is for."""

    def unsigned(region: str) -> tuple[str, int]:
        now_s = int(time.time())
        said = ({"alg": "none"}, {"sub": f"{PREFIX}auditor", "iat": now_s, "exp": now_s + 900})
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in said]
        return ".".join([*parts, ""]), (now_s + 900) * 1000

    assert writes(guarded, LEDGER)
    monkeypatch.setattr("aws_msk_iam_sasl_signer.MSKAuthTokenProvider.generate_auth_token", unsigned)
    shown = KafkaCredentials(security="sasl_plaintext", mechanism="OAUTHBEARER", iam_region="eu-west-1")
    auditor = Brokers(guarded.addresses, shown)
    assert may_read(auditor, LEDGER)
    assert kafka.offsets(auditor, LEDGER, 0)[1] > 0
    assert kafka_clients.admin_client(auditor.librdkafka()).list_topics(timeout=10).topics
    assert writes(auditor, LEDGER, JOBS) == set()

    async def metadata() -> set[str]:
        auth = credentials_to_aiokafka_auth(broker_credentials(shown))
        consumer = AIOKafkaConsumer(bootstrap_servers=guarded.addresses, **auth)
        try:
            await consumer.start()
            return set(await consumer.topics())
        finally:
            await consumer.stop()

    assert LEDGER in asyncio.run(metadata())


def test_rules_of_others_stay(guarded: Brokers) -> None:
    apply_access(guarded, RULES[:1], "other-")
    assert apply_access(guarded, RULES, PREFIX) == ((), ())
    gone = apply_access(guarded, (), "other-")
    assert gone.added == ()
    assert [principal_of("", "other-") in line for line in gone.removed] == [True]
