"""As whom a client speaks to Kafka: what librdkafka is told, and which settings do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from pydantic import ValidationError

from contract.topics import Topic
from runtime import kafka, kafka_clients
from runtime.kafka_credentials import Brokers, KafkaCredentials
from runtime.settings import Settings
from tests.unit.architecture.product import SOURCES

NAMED: dict[str, Any] = {"kafka_user": "intake", "kafka_password": "hidden"}
TOKENS: dict[str, Any] = NAMED | {"kafka_mechanism": "OAUTHBEARER", "kafka_token_url": "https://login.example/token"}


@pytest.fixture
def ca(tmp_path: Path) -> str:
    (tmp_path / "ca.pem").write_text("certificates")
    return str(tmp_path / "ca.pem")


def test_without_a_word_a_client_has_no_name() -> None:
    assert Settings(kafka="a:1").brokers.librdkafka() == {"bootstrap.servers": "a:1"}


def test_scram_with_tls(ca: str) -> None:
    given = Settings(kafka="a:1,b:2", kafka_security="sasl_ssl", kafka_ca=ca, **NAMED)
    assert given.brokers.librdkafka() == {
        "bootstrap.servers": "a:1,b:2",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "intake",
        "sasl.password": "hidden",
        "ssl.ca.location": ca,
    }


def test_tls_alone(ca: str) -> None:
    given = Settings(kafka="a:1", kafka_security="ssl", kafka_ca=ca).brokers.librdkafka()
    assert given == {"bootstrap.servers": "a:1", "security.protocol": "SSL", "ssl.ca.location": ca}


def test_tokens_are_fetched_by_the_library(ca: str) -> None:
    given = Settings(kafka="a:1", kafka_security="sasl_ssl", kafka_ca=ca, kafka_token_scope="kafka", **TOKENS)
    assert given.brokers.librdkafka() == {
        "bootstrap.servers": "a:1",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "intake",
        "sasl.oauthbearer.client.secret": "hidden",
        "sasl.oauthbearer.token.endpoint.url": "https://login.example/token",
        "sasl.oauthbearer.scope": "kafka",
        "ssl.ca.location": ca,
        "https.ca.location": ca,
    }


@pytest.mark.parametrize("given", [{"kafka_security": "sasl_ssl", **NAMED}, {"kafka_security": "sasl_ssl", **TOKENS}])
def test_librdkafka_takes_them(given: dict[str, Any]) -> None:
    config = Settings(kafka="127.0.0.1:1", **given).brokers.librdkafka()
    kafka_clients.consumer({**config, "group.id": "g", "log_level": 0, "error_cb": lambda error: None}).close()


def test_no_client_of_ours_is_made_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of client, by every way to one."""
    made: list[Mapping[str, Any]] = []

    def make(config: Mapping[str, Any]) -> MagicMock:
        made.append(config)
        return MagicMock()

    for kind in ("consumer", "producer", "admin_client"):
        monkeypatch.setattr(kafka_clients, kind, make)
    brokers = Settings(kafka="a:1", kafka_security="sasl_ssl", **NAMED).brokers
    kafka.Producer(brokers, "p").close()
    kafka.Reader(brokers, {}).close()
    kafka.Watermarks(brokers).close()
    kafka.TopicChange(brokers, [Topic("t", 1, {})])
    kafka.broker_setting(brokers, "any")
    kafka.Lookup(brokers, "jobs", client_id="l").close()
    assert len(made) == 6
    assert all(brokers.librdkafka().items() <= config.items() for config in made)


def test_the_brokers_are_named_to_the_library_in_one_place() -> None:
    named = [str(path) for path in SOURCES if '"bootstrap.servers"' in path.read_text()]
    assert [path.rpartition("/")[2] for path in named] == ["kafka_credentials.py"]


def test_the_secret_is_not_shown() -> None:
    given = Settings(kafka_security="sasl_ssl", **NAMED)
    assert "hidden" not in repr(given) + repr(given.brokers) + str(given.brokers)


def test_a_child_speaks_as_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings(kafka="a:1", kafka_security="sasl_ssl", **TOKENS)
    for name, value in given.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings().brokers == given.brokers


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kafka_security": "sasl_ssl"}, "expected HEADRACE_KAFKA_USER and .*found no HEADRACE_KAFKA_USER"),
        ({"kafka_security": "sasl_ssl", "kafka_user": "u"}, "found no HEADRACE_KAFKA_PASSWORD"),
        (NAMED, "expected HEADRACE_KAFKA_SECURITY=sasl_ssl .*found plaintext, which shows them to no broker"),
        ({"kafka_security": "ssl", **NAMED}, "found ssl, which shows them to no broker"),
        (
            {"kafka_security": "sasl_ssl", **NAMED, "kafka_mechanism": "OAUTHBEARER"},
            "expected HEADRACE_KAFKA_TOKEN_URL",
        ),
        ({"kafka_token_url": "https://login.example"}, "expected HEADRACE_KAFKA_MECHANISM=OAUTHBEARER"),
        ({"kafka_security": "sasl_ssl", **NAMED, "kafka_token_scope": "x"}, "expected HEADRACE_KAFKA_MECHANISM=OAUTHB"),
        ({"kafka_security": "sasl_ssl", **TOKENS, "kafka_token_url": "http://login.example"}, "found another URL"),
        ({"kafka_security": "sasl_ssl", **TOKENS, "kafka_token_url": "ftp://login.example"}, "found another URL"),
        ({"kafka_security": "sasl_ssl", **TOKENS, "kafka_token_url": "https://["}, "found another text"),
        ({"kafka_ca": "/ca.pem"}, "expected HEADRACE_KAFKA_SECURITY=ssl or sasl_ssl with HEADRACE_KAFKA_CA"),
        ({"kafka_security": "ssl", "kafka_ca": "/no/ca.pem"}, "expected HEADRACE_KAFKA_CA to name a file"),
        (
            {"kafka_security": "sasl_plaintext", **NAMED, "kafka_mechanism": "PLAIN", "kafka": "127.0.0.1:1,far:2"},
            "sends the secret in clear to far:2",
        ),
        ({"kafka_security": "sasl_plaintext", **TOKENS, "kafka": "far:2"}, "sends the secret in clear to far:2"),
        ({"kafka_security": "tls"}, "kafka_security"),
        ({"kafka_security": "sasl_ssl", **NAMED, "kafka_mechanism": "SCRAM-SHA-1"}, "kafka_mechanism"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        Settings(**given)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.0.0.1:1,localhost"])
def test_a_password_in_clear_may_stay_on_this_machine(address: str) -> None:
    given = Settings(kafka=address, kafka_security="sasl_plaintext", kafka_mechanism="PLAIN", **NAMED)
    assert given.brokers.librdkafka()["sasl.mechanism"] == "PLAIN"


def test_scram_needs_no_tls_to_keep_its_password() -> None:
    shown = KafkaCredentials(security="sasl_plaintext", user="u", password="p")
    assert Brokers("far:1", shown).librdkafka()["security.protocol"] == "SASL_PLAINTEXT"
