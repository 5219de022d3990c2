"""Proxies of the environment: never for this machine, never SOCKS, else as everybody reads them."""

from __future__ import annotations

import ssl

import httpx
import pytest

from registry import uv
from runtime.http_client import http_client
from runtime.object_store import ObjectStore, StoreRefuses
from runtime.object_store_health import what_it_supports
from runtime.proxies import ProxyUnusable, except_loopback, is_loopback, lets_loopback_through, proxy_for
from runtime.settings import Settings

HERE = (
    "http://127.0.0.1:8470",
    "http://localhost:1",
    "https://[::1]/x",
    "http://127.9.9.9",
    "http://a.localhost",
    "http://0.0.0.0:80",
)
DEAD = "http://127.0.0.1:9"
KEYED = Settings(s3_access_key="a", s3_secret_key="b")
EVERY = {"HTTP_PROXY": DEAD, "HTTPS_PROXY": DEAD, "ALL_PROXY": DEAD}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("url", HERE)
@pytest.mark.parametrize("no_proxy", ["", "localhost", "example.com"])
def test_no_proxy_is_asked_for_this_machine(url: str, no_proxy: str) -> None:
    assert proxy_for(url, EVERY | {"NO_PROXY": no_proxy}) == ""
    assert proxy_for(url, {"ALL_PROXY": "socks5h://127.0.0.1:1080"}) == ""


@pytest.mark.parametrize("host", ["127.0.0.1.example.com", "localhost.example.com", "example.com", "10.0.0.1", "::2"])
def test_names_that_only_look_like_this_machine_are_others(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("http://example.com", {}, ""),
        ("http://example.com", {"HTTP_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ("https://example.com", {"HTTP_PROXY": "proxy:3128"}, ""),
        ("https://example.com", {"ALL_PROXY": "https://all:1", "https_proxy": "http://one:1"}, "http://one:1"),
        ("https://example.com", {"ALL_PROXY": "https://all:1"}, "https://all:1"),
        ("http://example.com", {"HTTP_PROXY": "http://large:1", "http_proxy": "http://small:1"}, "http://small:1"),
        ("http://a.example.com", {"HTTP_PROXY": DEAD, "NO_PROXY": ".example.com"}, ""),
        ("http://example.com:8080", {"HTTP_PROXY": DEAD, "NO_PROXY": "example.com:8080"}, ""),
        ("http://[fd00::1]:1", {"HTTP_PROXY": DEAD, "NO_PROXY": "[fd00::1]"}, ""),
        ("http://example.com", {"HTTP_PROXY": DEAD, "NO_PROXY": "*"}, ""),
        ("http://example.com", {"HTTP_PROXY": DEAD, "REQUEST_METHOD": "GET"}, ""),
        ("http://example.com", {"ALL_PROXY": "socks5://s:1", "NO_PROXY": "example.com"}, ""),
    ],
)
def test_others_are_reached_as_the_environment_says(url: str, environment: dict[str, str], proxy: str) -> None:
    assert proxy_for(url, environment) == proxy


@pytest.mark.parametrize(
    ("address", "kind"), [("socks5h://u:secret@h:1080", "a SOCKS proxy"), ("ftp://h:21", "the scheme 'ftp'")]
)
def test_a_proxy_that_no_client_of_ours_can_use_is_said_by_its_variable(address: str, kind: str) -> None:
    with pytest.raises(ProxyUnusable) as refused:
        proxy_for("https://store.example.com/x", {"all_proxy": address})
    assert str(refused.value) == (
        f"expected all_proxy to name a proxy by http:// or https://, found {kind};"
        " unset all_proxy, or add store.example.com to NO_PROXY"
    )


def test_every_client_of_ours_leaves_proxies_alone_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1080")
    with http_client("http://127.0.0.1:8470") as client:
        assert set(client._mounts.values()) == set()
    store = ObjectStore(KEYED.model_copy(update={"s3_endpoint": HERE[0], "s3_public_endpoint": HERE[1]}))
    assert (store._client.meta.config.proxies, store._signer.meta.config.proxies) == ({}, {})
    assert uv.surroundings(asks_index=True)["NO_PROXY"] == "localhost,127.0.0.1,::1"


def test_a_client_of_another_machine_uses_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    with http_client("http://api.example.com") as client:
        assert isinstance(client._transport_for_url(httpx.URL("http://api.example.com/x")), httpx.HTTPTransport)
        assert len(client._mounts) == 1
    store = ObjectStore(KEYED.model_copy(update={"s3_endpoint": "http://store.example.com"}))
    assert store._client.meta.config.proxies == {"http": DEAD, "https": DEAD}


def test_a_store_behind_a_proxy_that_cannot_be_used_is_told_of_by_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1080")
    elsewhere = KEYED.model_copy(update={"s3_endpoint": "http://store.example.com"})
    with pytest.raises(StoreRefuses, match="expected ALL_PROXY to name a proxy by http:// or https://"):
        ObjectStore(elsewhere)
    (found,) = what_it_supports(elsewhere)
    assert not found.good
    assert found.found.endswith("unset ALL_PROXY, or add store.example.com to NO_PROXY")


def test_programs_that_are_not_ours_are_told_to_leave_this_machine_out() -> None:
    assert except_loopback({"A": "b"}) == {"A": "b"}
    told = except_loopback({"HTTP_PROXY": DEAD, "NO_PROXY": "example.com, localhost", "no_proxy": "other"})
    assert told["NO_PROXY"] == told["no_proxy"] == "example.com,localhost,other,127.0.0.1,::1"
    assert lets_loopback_through({"HTTP_PROXY": DEAD, "NO_PROXY": "localhost"})
    assert not lets_loopback_through(told)
    assert not lets_loopback_through({})


@pytest.mark.parametrize("url", ["https://api.example.com", "HTTPS://api.example.com"])
def test_certificates_are_checked_however_the_scheme_is_written(url: str) -> None:
    with http_client(url) as client:
        context: ssl.SSLContext = client._transport._pool._ssl_context  # type: ignore[attr-defined]
    assert context.verify_mode is ssl.CERT_REQUIRED
