"""Where things are, read from the environment (prefix HEADRACE_). No setting changes a decision.

A setting may also stand in a file of its name in the folder $HEADRACE_SECRETS, as orchestrators mount secrets there:
`headrace_signing_key`, for example. The environment wins.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

from contract import join_tokens, signing
from contract.bounds import RENDEZVOUS_PORTS, SLOTS_MAX
from runtime.egress.policy import EgressPolicy
from runtime.egress.spelled import spelled_policy
from runtime.kafka_credentials import Brokers, KafkaCredentials, Mechanism, Security

ENV_PREFIX = "HEADRACE_"
SECRETS_VARIABLE = "HEADRACE_SECRETS"
DATABASE_VARIABLES = ("DATABASE_URL", "HEADRACE_DATABASE_URL")
"""The first one wins."""

_BROKER = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.]+)?\]|[^\s:/\[\]]+)(?::[0-9]{1,5})?")
_POSTGRES_SCHEMES = ("postgres://", "postgresql://")
_POSTGRES_DRIVER = "postgresql+psycopg://"
_DATABASE = re.compile(
    r"postgresql\+psycopg://(?:[^:/]*(?::[^@]*)?@)?(?:\[[^/?\]]+\]|[^/:?]*)(?::[0-9]{0,5})?(?:[/?].*)?", re.DOTALL
)
"""What SQLAlchemy can read of a URL, without quoting it where it cannot."""
_HTTP = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+(?:%[\w.]+)?\]|[^\s:/?#\[\]]+)(?::[0-9]{1,5})?(?:/[^\s?#]*)?")


KNOWN_SECRETS = frozenset(
    {"admin", "change-me", "changeme", "example", "headrace", "headrace-secret", "minioadmin", "password", "postgres"}
)
"""Secrets that are printed somewhere: in this repository once, or in documents of servers."""
_PASSWORD = re.compile(r"[^:]+://[^:/@]*:([^@]*)@|[?&]password=([^&#]*)")


FRAMES_BYTES_MAX = 8 * 2**30
"""A quarter of an hour of 512 x 512 at 12 frames a second, or 57 s of 1920 x 1080 at 24."""


class SettingUnusable(ValueError):
    """A setting can be read, and what it names cannot be used. The message names the setting."""


class Settings(BaseSettings):
    """Addresses, credentials and pacing of one process. `Settings()` reads the environment.

    `repr` shows no secret.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, populate_by_name=True, extra="ignore", hide_input_in_errors=True
    )

    kafka: str = "127.0.0.1:9092"
    """Bootstrap servers, host:port separated by commas; an address of IPv6 in brackets: `[::1]:9092`."""
    kafka_security: Security = "plaintext"
    """How clients speak to the brokers. plaintext: without a name, for development only."""
    kafka_mechanism: Mechanism = "SCRAM-SHA-512"
    """How a client proves who it is, with sasl_plaintext and sasl_ssl."""
    kafka_user: str = ""
    """The principal of this process at Kafka: User:<this>."""
    kafka_password: str = Field(default="", repr=False)
    kafka_ca: str = ""
    """File with the certificates of the authorities that vouch for the brokers. Empty: those the system trusts."""
    kafka_token_url: str = ""
    """OAUTHBEARER: where tokens are fetched with kafka_user and kafka_password as the client's id and secret."""
    kafka_token_scope: str = ""
    """OAUTHBEARER: what is asked for with a token. Empty: nothing is said about it."""
    kafka_iam_region: str = ""
    """OAUTHBEARER by IAM of AWS, with the credentials that the machine has: the region of the brokers."""
    kafka_development: bool = False
    """Whether the brokers may let clients without a name in: they are for development. Else no process of ours runs
    with such brokers."""
    database_url: str = Field(
        default="postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
        validation_alias=AliasChoices(*DATABASE_VARIABLES),
        repr=False,
    )
    """SQLAlchemy URL. $DATABASE_URL wins over $HEADRACE_DATABASE_URL."""
    s3_endpoint: str = "http://127.0.0.1:9000"
    """URL of the S3 API. Empty: that of AWS for the region."""
    s3_public_endpoint: str = ""
    """URL under which users reach the same store, for presigned links. Empty: `s3_endpoint`."""
    s3_bucket: str = "headrace"
    s3_access_key: str = Field(default="", repr=False)
    """Empty, together with the secret key: the credentials that the machine has."""
    s3_secret_key: str = Field(default="", repr=False)
    s3_region: str = "us-east-1"
    s3_checksums: Literal["when_supported", "when_required"] = "when_supported"
    """Whether requests carry Amazon's checksum headers. when_required: for a store that refuses them."""
    s3_batch_deletes: bool = True
    """Whether many objects are deleted by one request. A store that refuses such a request is asked one by one, so
    False only saves the question."""
    data: Path = Path(".headrace")
    """Directory of this process's own files: caches, scratch. It can be deleted while the process is down."""
    api_url: str = "http://127.0.0.1:8470"
    """Where clients reach the API."""
    api_host: str = "127.0.0.1"
    """Address the API listens on."""
    api_plain_http: bool = False
    """Whether `api_host` may be an address that other machines reach: keys and prompts cross that network in plain
    HTTP. True: a gateway with TLS stands in front, and nobody else reaches the address."""
    api_port: int = 8470
    api_prefix: str = ""
    """What a gateway leaves in front of the API's paths, like `/headrace`. Empty: nothing."""
    api_metrics_public: bool = False
    """Whether the API shows its numbers at `/metrics` to whoever reaches it, for those who scrape it there."""
    api_connections_per_address: int = Field(default=1_000, ge=1)
    """Connections that the API keeps open for one address. Behind a gateway all of them come from the gateway's."""
    api_key: str = Field(default="", repr=False)
    """The API key that the command line sends."""
    log_level: str = "info"
    ffmpeg: str = ""
    """For nodes that decode or encode media: the program FFmpeg, 6.0 or newer. Empty: the wheel's (imageio-ffmpeg)."""
    metrics_port: int = 0
    """Where this process serves Prometheus metrics on 127.0.0.1. 0 = not at all."""
    node_address: str = ""
    """host:port at which other nodes reach this node: the first of 1,000 ports for rank 0 of gangs. Empty: other nodes
    cannot reach this node, and no gang across nodes has its rank 0 here."""
    heartbeat_ms: int = Field(default=5_000, ge=1)
    """How often a node says that it is alive."""
    result_bytes_max: int = Field(default=32 * 2**30, ge=1)
    """Bytes of outputs that may wait on a node's disk for an object store that is away. When they are spent the node
    starts nothing new; what runs still ends, and waits too. Never more than a quarter of the room that the disk had
    when the node started. Pictures that wait to be encoded count too."""
    frames_bytes_max: int = Field(default=FRAMES_BYTES_MAX, ge=1)
    """Bytes of pictures, before they are encoded, that one attempt may hand over. Never more than its slot's share of
    `result_bytes_max`."""
    input_bytes_max: int = Field(default=16 * 2**30, ge=1)
    """Bytes of prepared media that wait on a node's disk for their attempts. What does not fit is fetched later. Never
    more than a quarter of the room that the disk had when the node started."""
    encoders: int = Field(default=0, ge=0, le=SLOTS_MAX)
    """Videos and images that a node encodes at a time. 0: one for every 8 cores, and at least one."""
    encoder_limit_s: float = Field(default=900.0, gt=0)
    """How long an encoder may take."""
    snapshot_dir: str = "snapshots"
    """Directory, under `data` unless absolute, where a scheduler keeps its newest snapshots too, so that it starts soon
    while the object store is away. Empty: nowhere. It can be deleted."""
    snapshot_every_ms: int = Field(default=30_000, ge=1)
    """How often a scheduler writes a snapshot, if anything changed."""
    upload_links: bool = True
    """Whether uploads get links by which users write to the object store themselves. False: the store is private, and
    all bytes come through the API."""
    upload_kept_s: int = Field(default=86_400, ge=60)
    """How long an upload is kept that nobody completes, and one that no job names any more."""
    uploads_each_max: int = Field(default=1_000, ge=1)
    """Uploads that a tenant may have pending or ready."""
    upload_bytes_each_max: int = Field(default=20 * 10**9, ge=1)
    """Bytes of a tenant's uploads that are pending or ready."""
    egress_ports: str = "443"
    """Ports of public servers that URLs of users may name, with commas between."""
    egress_http: bool = False
    """Whether URLs of users may begin with http:// at public servers too; whoever allows it adds port 80."""
    egress_prefixes: str = ""
    """Private networks that URLs of users may reach, like an internal store: NAME=NETWORK@SCHEME:PORT with commas
    between, `store=10.0.7.0/24@https:443`. Empty: none."""
    egress_refused: str = ""
    """Public networks that lead inside, like our own load balancers: URLs of users never reach them."""
    signer: str = ""
    """As whom this process signs what it writes to `jobs` (contract.signers). Empty: it signs nothing."""
    signing_key: str = Field(default="", repr=False)
    """The signer's own key, as `headrace keys derive` prints it."""
    join_token: str = Field(default="", repr=False)
    """For nodes only: lets a machine that is new to its pool join, as `headrace nodes token` prints it. Empty: the
    machine has joined before, or the policy asks for no tokens."""
    installation_keys: str = Field(default="", repr=False)
    """For schedulers only: the installation's key, or two with a comma between while one replaces the other. Each is 64
    hex digits. Empty: the scheduler takes unsigned records."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        folder = os.environ.get(SECRETS_VARIABLE)
        if not folder:
            return init_settings, env_settings
        if not Path(folder).is_dir():
            raise SettingUnusable(f"{SECRETS_VARIABLE}: expected a folder of secrets, found none at {folder[:200]!r}")
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, folder)

    @field_validator("installation_keys")
    @classmethod
    def _known_installation_keys(cls, keys: str) -> str:
        signing.installation_keys(keys)
        return keys

    @field_validator("join_token")
    @classmethod
    def _formed_token(cls, token: str) -> str:
        if token and not join_tokens.is_token(token):
            raise ValueError("expected a join token as `headrace nodes token` prints it, found another form")
        return token

    @model_validator(mode="after")
    def _signer_with_its_key(self) -> Settings:
        if bool(self.signer) != bool(self.signing_key):
            raise ValueError(
                "expected HEADRACE_SIGNER together with HEADRACE_SIGNING_KEY, found one of them;"
                " `headrace keys derive SIGNER` prints both"
            )
        if self.signer:
            signing.signing_key(self.signer, self.signing_key)
        return self

    @model_validator(mode="after")
    def _usable_credentials(self) -> Settings:
        fault = self.brokers.credentials.fault(self.kafka)
        if fault:
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _usable_egress(self) -> Settings:
        _ = self.egress_policy
        return self

    @field_validator("database_url")
    @classmethod
    def _with_driver(cls, url: str) -> str:
        for scheme in _POSTGRES_SCHEMES:
            if url.startswith(scheme):
                url = _POSTGRES_DRIVER + url.removeprefix(scheme)
        if not _DATABASE.fullmatch(url):
            raise ValueError("expected postgresql://user@host:port/database, found another URL")
        return url

    @field_validator("database_url")
    @classmethod
    def _with_a_password_of_its_own(cls, url: str) -> str:
        for password in _PASSWORD.finditer(url):
            _require_own_secret(unquote(password[1] or password[2] or ""))
        return url

    @field_validator("s3_secret_key")
    @classmethod
    def _own_secret(cls, secret: str) -> str:
        _require_own_secret(secret)
        return secret

    @model_validator(mode="after")
    def _plain_http_on_this_machine_alone(self) -> Settings:
        if not self.api_plain_http and not _is_this_machine(self.api_host):
            raise ValueError(
                "HEADRACE_API_HOST: expected an address of this machine alone, like 127.0.0.1, because the API speaks"
                f" plain HTTP; found {self.api_host[:100]!r}. Put a gateway with TLS in front of it, and set"
                " HEADRACE_API_PLAIN_HTTP=true if nobody else reaches that address"
            )
        return self

    @field_validator("s3_endpoint", "s3_public_endpoint")
    @classmethod
    def _with_scheme(cls, url: str) -> str:
        if url and not _is_http(url):
            raise ValueError(f"expected http://host:port or https://host:port, or nothing; found {_shown(url)}")
        return url

    @field_validator("kafka")
    @classmethod
    def _brokers(cls, addresses: str) -> str:
        """As librdkafka and Faust both read them."""
        brokers = [address.strip() for address in addresses.split(",") if address.strip()]
        wrong = [broker for broker in brokers if not _BROKER.fullmatch(broker)]
        if wrong or not brokers:
            raise ValueError(
                "expected host:port, separated by commas, without a scheme, an address of IPv6 in brackets like"
                f" [::1]:9092; found {(wrong or [addresses])[0][:100]!r}"
            )
        return ",".join(brokers)

    @field_validator("api_host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        return host.strip("[]")

    @field_validator("api_prefix")
    @classmethod
    def _path(cls, prefix: str) -> str:
        prefix = prefix.rstrip("/")
        if prefix and not prefix.startswith("/"):
            raise ValueError(f"expected a path like /headrace, found {prefix[:100]!r}")
        return prefix

    @field_validator("api_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        if not _is_http(url):
            raise ValueError(f"expected http://host:port or https://host:port, found {_shown(url)}")
        return url.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _fit_for_a_header(cls, key: str) -> str:
        if not (key.isascii() and key.isprintable()):
            raise ValueError("expected an API key as `headrace keys create` prints it, found other characters")
        return key

    @field_validator("node_address")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        host, _, port = address.rpartition(":")
        if address and not (host and port.isdecimal() and 0 < int(port) <= 65_536 - RENDEZVOUS_PORTS):
            raise ValueError(
                f"expected host:port with a port of 1 to {65_536 - RENDEZVOUS_PORTS}, found {address[:100]!r}"
            )
        return address

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError(f"expected debug, info, warning or error, found {level!r}")
        return level.lower()

    @property
    def brokers(self) -> Brokers:
        """The brokers with the credentials of this process: what every client of Kafka is made from."""
        shown = KafkaCredentials(
            security=self.kafka_security,
            mechanism=self.kafka_mechanism,
            user=self.kafka_user,
            password=self.kafka_password,
            ca=self.kafka_ca,
            token_url=self.kafka_token_url,
            token_scope=self.kafka_token_scope,
            iam_region=self.kafka_iam_region,
        )
        return Brokers(self.kafka, shown)

    @property
    def egress_policy(self) -> EgressPolicy:
        """Where URLs of users may lead: the egress guard's policy."""
        return spelled_policy(self.egress_ports, self.egress_http, self.egress_prefixes, self.egress_refused)

    def environment(self) -> dict[str, str]:
        """The environment variables from which `Settings()` reads these settings again, for a child process."""
        return {variable_of(name): str(value) for name, value in self}


def _require_own_secret(secret: str) -> None:
    if secret.lower() in KNOWN_SECRETS:
        raise ValueError(
            "expected a secret of your own, found one that is printed in documents; draw another one"
            " (`openssl rand -hex 24`; for docker-compose.yml: `make compose-secrets`)"
        )


def _is_this_machine(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def variable_of(setting: str) -> str:
    """The environment variable of a field of Settings."""
    return DATABASE_VARIABLES[0] if setting == "database_url" else ENV_PREFIX + setting.upper()


def _is_http(url: str) -> bool:
    """Whether every client of HTTP that we use can ask for this URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        return False
    return bool(host) and port != 0 and url.isprintable() and _HTTP.fullmatch(url) is not None


def _shown(url: str) -> str:
    """A URL that is refused, unless it has a user's name and password in it."""
    return "one with a user in it" if "@" in url else repr(url[:100])
