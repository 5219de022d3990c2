"""Faust shows a broker the same credentials as librdkafka."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from aiokafka.errors import KafkaConnectionError
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from runtime.kafka_credentials import PLAINTEXT, KafkaCredentials
from runtime.settings import Settings
from streams.hosting import faust_credentials
from streams.hosting.faust_app import make_app
from streams.hosting.faust_credentials import TokenProvider, broker_credentials

TOKENS = KafkaCredentials(
    security="sasl_ssl",
    mechanism="OAUTHBEARER",
    user="intake",
    password="hidden",
    token_url="http://localhost/token",
    token_scope="kafka",
)


def auth(shown: KafkaCredentials) -> dict[str, Any]:
    """What Faust hands to its client of Kafka."""
    return dict(credentials_to_aiokafka_auth(broker_credentials(shown)))


def test_without_a_word_faust_has_no_name() -> None:
    assert auth(PLAINTEXT) == {"security_protocol": "PLAINTEXT"}


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_a_name_and_a_password(mechanism: Any) -> None:
    shown = KafkaCredentials(security="sasl_plaintext", mechanism=mechanism, user="intake", password="hidden")
    assert auth(shown) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "intake",
        "sasl_plain_password": "hidden",
        "ssl_context": None,
    }


def test_brokers_are_checked_by_their_certificates() -> None:
    for shown in (KafkaCredentials(security="ssl"), KafkaCredentials(security="sasl_ssl", user="u", password="p")):
        given = auth(shown)
        assert given["security_protocol"] == shown.security.upper()
        context: ssl.SSLContext = given["ssl_context"]
        assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


def test_the_bundle_of_the_settings_is_the_one_that_counts() -> None:
    with patch.object(ssl, "create_default_context") as made:
        broker_credentials(KafkaCredentials(security="ssl", ca="/our.pem"))
    made.assert_called_once_with(cafile="/our.pem")


def test_every_app_of_ours_is_made_with_them(tmp_path: Path) -> None:
    here = Settings(data=tmp_path, kafka_security="sasl_ssl", kafka_user="intake", kafka_password="hidden")
    used = make_app("group", here).conf.broker_credentials
    assert (used.protocol.value, used.username, used.password) == ("SASL_SSL", "intake", "hidden")


def test_the_secret_is_not_shown() -> None:
    for shown in (KafkaCredentials(security="sasl_ssl", user="u", password="hidden"), TOKENS):
        assert "hidden" not in repr(broker_credentials(shown))


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> Any:
    def client(url: str, **options: Any) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(answer))

    return patch.object(faust_credentials, "http_client", client)


def test_a_token_is_asked_for_as_the_client_and_kept_while_it_is_fresh() -> None:
    asked: list[httpx.Request] = []
    now = [0.0]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"access_token": f"token-{len(asked)}", "expires_in": 100})

    async def at(*moments: float) -> list[str]:
        provider, given = TokenProvider(TOKENS, now_s=lambda: now[0]), []
        for now[0] in moments:
            given.append(await provider.token())
        return given

    with answering(answer):
        assert asyncio.run(at(0, 79, 80, 81)) == ["token-1", "token-1", "token-2", "token-2"]
    assert asked[0].content == b"grant_type=client_credentials&scope=kafka"
    assert asked[0].headers["Authorization"] == "Basic aW50YWtlOmhpZGRlbg=="
    assert auth(TOKENS)["sasl_mechanism"] == "OAUTHBEARER"


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("hidden")


@pytest.mark.parametrize(
    "answer",
    [
        refuse,
        lambda request: httpx.Response(401, text="hidden"),
        lambda request: httpx.Response(200, text="hidden"),
        lambda request: httpx.Response(200, json=["hidden"]),
        lambda request: httpx.Response(200, json={"access_token": "hidden", "expires_in": "soon"}),
    ],
)
def test_without_a_token_the_broker_counts_as_away(answer: Callable[[httpx.Request], httpx.Response]) -> None:
    """aiokafka tries again after this kind of failure. Its words go to the log."""
    with answering(answer), pytest.raises(KafkaConnectionError) as failure:
        asyncio.run(TokenProvider(TOKENS).token())
    assert "hidden" not in str(failure.value)
