"""Settings are read from the environment, and can be written as an environment again."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.signing import InstallationKey
from runtime.egress.policy import EgressPolicy, PrivatePrefix
from runtime.settings import Settings, SettingUnusable


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


def test_they_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA", "broker:1")
    monkeypatch.setenv("HEADRACE_DATA", "/srv/data")
    monkeypatch.setenv("HEADRACE_HEARTBEAT_MS", "250")
    settings = Settings()
    assert (settings.kafka, settings.data, settings.heartbeat_ms) == ("broker:1", Path("/srv/data"), 250)


def test_database_url_wins_and_gets_our_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "postgresql+psycopg://ours/db")
    assert Settings().database_url == "postgresql+psycopg://ours/db"
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p@theirs/db")
    assert Settings().database_url == "postgresql+psycopg://u:p@theirs/db"


def test_a_child_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        kafka="broker:1", database_url="postgresql://db/x", s3_secret_key="s", api_port=7, data=Path("d")
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_secrets_are_not_in_the_repr() -> None:
    settings = Settings(
        database_url="postgresql://u:hidden@db/x", s3_secret_key="hidden", s3_access_key="hidden", api_key="hidden"
    )
    assert "hidden" not in repr(settings)


def test_no_setting_with_a_secrets_name_is_in_the_repr() -> None:
    secret = re.compile(r"password|secret|token$|_keys?$|database_url")
    named = {name: field for name, field in Settings.model_fields.items() if secret.search(name)}
    assert {"join_token", "kafka_password", "signing_key", "installation_keys"} < set(named), "this check can fail"
    assert [name for name, field in named.items() if field.repr] == []


@pytest.mark.parametrize("address", ["gpu-1", "gpu-1:", ":10000", "gpu-1:port", "gpu-1:0", "gpu-1:64537"])
def test_an_address_that_is_none_or_has_no_room_for_its_ports_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match=f"expected host:port with a port of 1 to 64536, found '{address}'"):
        Settings(node_address=address)
    assert Settings(node_address="[fd00::1]:64536").node_address == "[fd00::1]:64536"


class TestEgress:
    def test_public_servers_by_https_unless_the_installation_says_more(self) -> None:
        assert Settings().egress_policy == EgressPolicy()
        settings = Settings(
            egress_ports="443, 8443",
            egress_prefixes="store=10.0.7.0/24@https:443,store=10.0.7.0/24@http:9000, six=fd00:7::/64@https:8443",
            egress_refused="198.51.100.0/24,2001:db8::/32",
        )
        assert settings.egress_policy == EgressPolicy(
            ports=frozenset({443, 8443}),
            prefixes=(
                PrivatePrefix("store", ip_network("10.0.7.0/24"), frozenset({443})),
                PrivatePrefix("store", ip_network("10.0.7.0/24"), frozenset({9000}), allows_http=True),
                PrivatePrefix("six", ip_network("fd00:7::/64"), frozenset({8443})),
            ),
            refused=(ip_network("198.51.100.0/24"), ip_network("2001:db8::/32")),
        )

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"egress_ports": "https"}, "expected a port from 1 to 65535, found 'https'"),
            ({"egress_ports": "0"}, "expected a port from 1 to 65535, found '0'"),
            ({"egress_prefixes": "10.0.7.0/24"}, "expected a private prefix like store=10.0.7.0/24@https:443"),
            ({"egress_prefixes": "a=10.0.7.0/24@ftp:21"}, "expected a private prefix like"),
            ({"egress_prefixes": "a=10.0.7.1/24@https:443"}, "without bits of hosts, found '10.0.7.1/24'"),
            ({"egress_prefixes": "a=10.0.0.0/8@https:65536"}, "expected a port from 1 to 65535, found '65536'"),
            ({"egress_prefixes": "a=9.0.0.0/8@https:443"}, "expected the prefix a to lie in a private network"),
            ({"egress_prefixes": "a=169.254.0.0/16@http:80"}, "expected the prefix a to lie in a private network"),
            ({"egress_refused": "balancer"}, "expected a network like 10.0.7.0/24"),
        ],
    )
    def test_what_no_policy_may_say_stops_the_process(self, given: dict[str, str], expected: str) -> None:
        with pytest.raises(ValidationError, match=re.escape(expected)):
            Settings.model_validate(given)


def test_an_unknown_log_level_is_refused() -> None:
    with pytest.raises(ValidationError, match="expected debug, info, warning or error, found 'loud'"):
        Settings(log_level="loud")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("broker:1", "broker:1"),
        (" a:1 , b:2,", "a:1,b:2"),
        ("[::1]:9092", "[::1]:9092"),
        ("[fe80::1%eth0]:9092,[fd00::2]", "[fe80::1%eth0]:9092,[fd00::2]"),
        ("broker", "broker"),
    ],
)
def test_brokers_are_named_by_host_and_port(given: str, read: str) -> None:
    assert Settings(kafka=given).kafka == read


@pytest.mark.parametrize("given", ["", " , ", "::1:9092", "fd00::2", "kafka://a:1", "a:1;b:2", "a b:1", "[::1]9092"])
def test_what_librdkafka_and_faust_would_read_in_two_ways_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match=r"expected host:port.*like \[::1\]:9092; found"):
        Settings(kafka=given)


def test_a_prefix_is_a_path() -> None:
    assert Settings(api_prefix="/headrace/").api_prefix == "/headrace"
    with pytest.raises(ValidationError, match="expected a path like /headrace, found 'headrace'"):
        Settings(api_prefix="headrace")


def test_addresses_of_the_api_may_have_what_people_add() -> None:
    settings = Settings(api_url="https://example.com/headrace/", api_host="[::1]")
    assert (settings.api_url, settings.api_host) == ("https://example.com/headrace", "::1")


@pytest.mark.parametrize(
    "url",
    ["", "a:80", "ftp://a", "http://", "http://[::1", "http://a:b", "http://a:65536", "http://..", "http://a\x01b"],
)
def test_an_address_that_no_client_can_ask_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="expected http://host:port or https://host:port, found "):
        Settings(api_url=url)
    if url:
        with pytest.raises(ValidationError, match="expected http://host:port or https://host:port, or nothing; found "):
            Settings(s3_public_endpoint=url)


def test_an_address_with_a_password_is_refused_and_not_quoted() -> None:
    with pytest.raises(ValidationError, match="found one with a user in it") as refused:
        Settings(s3_endpoint="http://u:hidden@store")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("key", ["hr_\u00fc", "hr\n"])
def test_a_key_that_no_header_holds_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="expected an API key as `headrace keys create` prints it"):
        Settings(api_key=key)


@pytest.mark.parametrize("pace", ["heartbeat_ms", "snapshot_every_ms"])
def test_nothing_is_done_without_a_pause(pace: str) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Settings.model_validate({pace: 0})


@pytest.mark.parametrize(
    "changes",
    [
        {"s3_secret_key": "headrace-secret"},
        {"s3_secret_key": "minioadmin"},
        {"database_url": "postgresql://headrace:headrace@postgres:5432/headrace"},
        {"database_url": "postgresql://u:Pass%77ord@h/d"},
        {"database_url": "postgresql://u@h/d?sslmode=require&password=changeme"},
    ],
)
def test_a_secret_that_everybody_knows_is_refused_and_not_quoted(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="expected a secret of your own, found one that is printed") as refused:
        Settings.model_validate(changes)
    assert not [secret for secret in ("headrace-secret", "Pass", "minioadmin") if secret in str(refused.value)]


def test_a_database_may_need_no_password_and_a_store_may_know_the_machine() -> None:
    Settings(database_url="postgresql://headrace@h/headrace", s3_secret_key="")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "10.0.0.1", "api.example.com", ""])
def test_plain_http_for_other_machines_is_refused_unless_a_setting_says_so(host: str) -> None:
    with pytest.raises(ValidationError, match="HEADRACE_API_HOST: expected an address of this machine alone"):
        Settings(api_host=host)
    assert Settings(api_host=host, api_plain_http=True).api_host == host.strip("[]")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_this_machine_alone_needs_no_setting(host: str) -> None:
    Settings(api_host=host)


KEY = InstallationKey(b"k" * 32)


def test_a_secret_may_stand_in_a_file_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = KEY.of("relay")
    (tmp_path / "headrace_signer").write_text("relay\n")
    (tmp_path / "headrace_signing_key").write_text(key.text + "\n")
    monkeypatch.setenv("HEADRACE_SECRETS", str(tmp_path))
    assert (Settings().signer, Settings().signing_key) == ("relay", key.text)
    monkeypatch.setenv("HEADRACE_SIGNER", "api")
    assert Settings().signer == "api"
    monkeypatch.setenv("HEADRACE_SECRETS", str(tmp_path / "gone"))
    with pytest.raises(SettingUnusable, match="HEADRACE_SECRETS: expected a folder of secrets, found none at"):
        Settings()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"signer": "api"}, "expected HEADRACE_SIGNER together with HEADRACE_SIGNING_KEY, found one of them"),
        ({"signing_key": KEY.of("api").text}, "expected HEADRACE_SIGNER together with"),
        ({"signer": "me", "signing_key": KEY.of("api").text}, "expected a signer like"),
        ({"signer": "api", "signing_key": "hidden"}, "expected a signing key as"),
        ({"installation_keys": "hidden"}, "expected installation keys of 64 hex digits"),
    ],
)
def test_signing_settings_that_are_wrong_are_refused_and_not_quoted(changes: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as refused:
        Settings.model_validate(changes)
    for secret in (KEY.of("api").text, "hidden"):
        assert secret not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@host:5432/d",
        "postgresql+psycopg://u:p%40/x@[::1]:5432/d?sslmode=require",
        "postgresql:///d?host=/tmp/with%20space&port=5",
        "postgres://host",
    ],
)
def test_urls_of_postgres_are_taken(url: str) -> None:
    assert Settings(database_url=url).database_url.startswith("postgresql+psycopg://")


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:secret@h/d", "postgresql://u:secret@host:port/d", ""])
def test_another_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValidationError, match="expected postgresql://user@host:port/database") as refused:
        Settings(database_url=url)
    (error,) = refused.value.errors(include_input=False)
    assert "secret" not in error["msg"]


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9000", "https://s3.example/prefix/", "http://[::1]:9000"])
def test_addresses_of_a_store_are_taken(url: str) -> None:
    assert Settings(s3_endpoint=url).s3_endpoint == url


@pytest.mark.parametrize("url", ["127.0.0.1:9000", "s3://bucket", "http://", "http://host:port"])
def test_another_address_of_a_store_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="expected http://host:port or https://host:port"):
        Settings(s3_endpoint=url)
