"""What uv is given of our environment: what is listed, so that a variable nobody thought of stays with us."""

from __future__ import annotations

import os

import pytest

from registry import uv

SECRETS = {
    "AWS_SECRET_ACCESS_KEY",
    "DATABASE_URL",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HEADRACE_INSTALLATION_KEYS",
    "HEADRACE_S3_SECRET_KEY",
    "HF_TOKEN",
    "KAFKA_SASL_PASSWORD",
    "PGPASSWORD",
    "PIP_PASSWORD_OF_TOMORROW",
    "UV_PUBLISH_PASSWORD",
    "UV_PUBLISH_TOKEN",
}
OF_AN_INDEX = {
    "UV_INDEX_URL",
    "UV_INDEX_OURS_PASSWORD",
    "UV_EXTRA_INDEX_URL",
    "PIP_INDEX_URL",
    "HTTPS_PROXY",
    "http_proxy",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        os, "environ", {"PATH": "/bin", "HOME": "/root", **dict.fromkeys(SECRETS | OF_AN_INDEX, "hush")}
    )


@pytest.mark.parametrize("asks_index", [False, True])
def test_a_variable_that_is_not_listed_stays_with_us(asks_index: bool) -> None:
    given = uv.surroundings(asks_index=asks_index)
    assert not SECRETS & set(given)
    assert given["PATH"] == "/bin"


def test_only_a_call_that_asks_an_index_gets_the_index_and_its_password() -> None:
    assert set(uv.surroundings(asks_index=True)) >= OF_AN_INDEX
    assert "hush" not in uv.surroundings(asks_index=False).values()


def test_no_variable_that_every_call_gets_may_hold_a_credential() -> None:
    words = ("PASSWORD", "TOKEN", "SECRET", "KEY", "INDEX", "URL", "PROXY", "CERT")
    assert not [name for name in uv.PASSED if any(word in name for word in words)]
