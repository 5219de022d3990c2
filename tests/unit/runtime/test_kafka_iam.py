"""Tokens for brokers that know their clients by IAM: of the documented form, for librdkafka and Faust alike."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from pydantic import ValidationError

from runtime import kafka_iam
from runtime.settings import Settings
from streams.hosting.faust_credentials import broker_credentials

REGION = "eu-west-1"
GIVEN: dict[str, Any] = {
    "kafka": "b-1.example:9098",
    "kafka_security": "sasl_ssl",
    "kafka_mechanism": "OAUTHBEARER",
    "kafka_iam_region": REGION,
}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Without credentials of AWS, and without a network that could lend some."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    return monkeypatch


@pytest.fixture
def lent(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    machine.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    machine.setenv("AWS_SESSION_TOKEN", "session")


def signed_url(token: str) -> Any:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token), "base64 for URLs, without padding"
    return urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())


@pytest.mark.usefixtures("lent")
def test_librdkafka_is_given_a_signed_url_of_the_region() -> None:
    given = Settings(**GIVEN).brokers.librdkafka()
    make = given.pop("oauth_cb")
    assert given == {
        "bootstrap.servers": "b-1.example:9098",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "OAUTHBEARER",
    }
    text, ends_s = make("")
    url = signed_url(text)
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert (url.scheme, url.netloc, url.path) == ("https", "kafka.eu-west-1.amazonaws.com", "/")
    assert asked["Action"] == "kafka-cluster:Connect"
    assert asked["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert re.fullmatch(r"AKIDEXAMPLE/\d{8}/eu-west-1/kafka-cluster/aws4_request", asked["X-Amz-Credential"])
    assert (asked["X-Amz-Expires"], asked["X-Amz-Security-Token"]) == ("900", "session")
    assert re.fullmatch(r"[0-9a-f]{64}", asked["X-Amz-Signature"])
    assert 890 < ends_s - time.time() <= 900
    assert "hidden" not in url.query


@pytest.mark.usefixtures("lent")
def test_faust_is_given_the_same_and_keeps_it_while_it_is_fresh() -> None:
    auth = credentials_to_aiokafka_auth(broker_credentials(Settings(**GIVEN).brokers.credentials))
    assert (auth["security_protocol"], auth["sasl_mechanism"]) == ("SASL_SSL", "OAUTHBEARER")
    provider = auth["sasl_oauth_token_provider"]

    async def twice() -> list[str]:
        return [await provider.token() for _ in range(2)]

    first, second = asyncio.run(twice())
    assert first == second
    assert signed_url(first).netloc == "kafka.eu-west-1.amazonaws.com"


def test_a_machine_without_credentials_has_no_token_and_says_so() -> None:
    with pytest.raises(kafka_iam.NoToken, match="expected credentials of AWS"):
        kafka_iam.token_for_librdkafka(REGION, "")
    provider = broker_credentials(Settings(**GIVEN).brokers.credentials).oauth_cb
    with pytest.raises(KafkaConnectionError, match="expected credentials of AWS"):
        asyncio.run(provider.token())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kafka_security": "sasl_plaintext"}, "expected HEADRACE_KAFKA_SECURITY=sasl_ssl and"),
        ({"kafka_mechanism": "PLAIN"}, "found sasl_ssl and PLAIN"),
        ({"kafka_user": "u", "kafka_password": "p"}, "expected no HEADRACE_KAFKA_USER"),
        ({"kafka_token_url": "https://login.example"}, "expected no HEADRACE_KAFKA_USER"),
        ({"kafka_iam_region": "https://x"}, "expected HEADRACE_KAFKA_IAM_REGION like eu-west-1"),
        ({"kafka_iam_region": ""}, "expected HEADRACE_KAFKA_USER and HEADRACE_KAFKA_PASSWORD"),
    ],
)
def test_what_does_not_go_together_is_told(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        Settings(**(GIVEN | changes))


def test_without_the_library_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_iam, "LIBRARY", "no_such_library")
    with pytest.raises(ValidationError, match=r"install headrace\[iam\]"):
        Settings(**GIVEN)
