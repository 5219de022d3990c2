"""A broker that lets everyone in, and one that asks for names: what the settings say."""

from __future__ import annotations

from pathlib import Path

from local.kafka_server import KafkaServer


def settings_of(broker: KafkaServer) -> dict[str, str]:
    return dict(broker._settings)


def server(tmp_path: Path, **options: str) -> KafkaServer:
    return KafkaServer(tmp_path, tmp_path, port=1, controller_port=2, words_kept_ms=1, **options)  # type: ignore[arg-type]


def test_without_a_password_nothing_is_asked(tmp_path: Path) -> None:
    broker = server(tmp_path)
    assert broker.brokers.librdkafka() == {"bootstrap.servers": "127.0.0.1:1"}
    given = settings_of(broker)
    assert given["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert given["inter.broker.listener.name"] == "PLAINTEXT"
    assert not any("sasl" in name or "authorizer" in name for name in given)


def test_with_a_password_both_listeners_ask_for_a_name_and_nothing_is_allowed_to_all(tmp_path: Path) -> None:
    broker = server(tmp_path, admin_password="hidden")
    given = settings_of(broker)
    assert given["listener.security.protocol.map"] == "CONTROLLER:SASL_PLAINTEXT,CLIENTS:SASL_PLAINTEXT"
    assert given["allow.everyone.if.no.acl.found"] == "false"
    assert given["super.users"] == "User:admin"
    assert broker.brokers.librdkafka()["sasl.username"] == "admin"
    assert "hidden" not in repr(broker.brokers)
