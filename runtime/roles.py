"""Which settings each process of ours gets: one table, by which a stack and docker-compose.yml start them.

A process that is broken into, or a model in a node, finds the credentials of its own role and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from runtime.settings import DATABASE_VARIABLES, ENV_PREFIX, Settings, variable_of

_KAFKA = frozenset(
    {
        "kafka",
        "kafka_security",
        "kafka_mechanism",
        "kafka_user",
        "kafka_password",
        "kafka_ca",
        "kafka_token_url",
        "kafka_token_scope",
        "kafka_iam_region",
        "kafka_development",
    }
)
_EVERYBODY = _KAFKA | {"data", "log_level", "metrics_port"}
_STORE = frozenset(
    {
        "s3_endpoint",
        "s3_bucket",
        "s3_access_key",
        "s3_secret_key",
        "s3_region",
        "s3_checksums",
        "s3_batch_deletes",
    }
)
_SIGNS = frozenset({"signer", "signing_key"})
DATABASE = frozenset({"database_url"})
EGRESS = frozenset({"egress_ports", "egress_http", "egress_prefixes", "egress_refused"})
"""Of whoever fetches from URLs that users name, and of the doors, which refuse such URLs by the same policy."""


class Role(StrEnum):
    """What a process of ours is for."""

    SCHEDULER = "scheduler"
    INTAKE = "intake"
    PROJECTOR = "projector"
    RELAY = "relay"
    API = "api"
    NODE = "node"
    CPU_WORKER = "cpu_worker"
    INSTALL = "install"


AUTHOR, OPERATOR = "author", "operator"
"""People, by what they do: publish models, and everything that `headrace` does for operators."""

_ENCODES = frozenset(
    {"ffmpeg", "result_bytes_max", "frames_bytes_max", "input_bytes_max", "encoders", "encoder_limit_s"}
)

SETTINGS: Mapping[Role, frozenset[str]] = {
    Role.SCHEDULER: _EVERYBODY | _STORE | {"snapshot_dir", "snapshot_every_ms", "installation_keys"},
    Role.INTAKE: _EVERYBODY | _STORE | _SIGNS | DATABASE | EGRESS | {"upload_kept_s"},
    Role.PROJECTOR: _EVERYBODY | DATABASE,
    Role.RELAY: _EVERYBODY | _SIGNS | DATABASE,
    Role.API: _EVERYBODY
    | _STORE
    | _SIGNS
    | DATABASE
    | EGRESS
    | {
        "s3_public_endpoint",
        "upload_links",
        "upload_kept_s",
        "uploads_each_max",
        "upload_bytes_each_max",
        "api_host",
        "api_plain_http",
        "api_port",
        "api_prefix",
        "api_connections_per_address",
        "api_metrics_public",
    },
    Role.NODE: _EVERYBODY | _STORE | _SIGNS | {"join_token", "node_address", "heartbeat_ms"} | _ENCODES,
    Role.CPU_WORKER: _EVERYBODY | _STORE | _SIGNS | EGRESS | {"join_token", "heartbeat_ms", "ffmpeg"},
    Role.INSTALL: _EVERYBODY | _STORE | DATABASE,
}
"""Fields of Settings by role. `install` makes the keys by which the others sign, and signs with one that it made."""

_OURS: tuple[str, ...] = (ENV_PREFIX, *DATABASE_VARIABLES)
_OF_THE_DATABASE: tuple[str, ...] = ("PG",)
_OF_THE_STORE: tuple[str, ...] = ("AWS_",)
"""Beginnings of variables that libpq and Amazon's client read by themselves."""


def variables_of(role: Role) -> frozenset[str]:
    """The environment variables of this role's settings."""
    return frozenset(map(variable_of, SETTINGS[role]))


def environment_of(role: Role, settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process of this role: what we inherited, without any setting of ours and without the
    credentials of servers that the role does not ask, and the settings of the role."""
    own = SETTINGS[role]
    shut = _OURS
    if not own & DATABASE:
        shut += _OF_THE_DATABASE
    if not own & _STORE:
        shut += _OF_THE_STORE
    given = settings.environment()
    return _without(inherited, shut) | {name: given[name] for name in variables_of(role)}


def environment_of_a_server(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program that is not ours, and reads its settings elsewhere."""
    return _without(inherited, _OURS + _OF_THE_DATABASE + _OF_THE_STORE)


def _without(inherited: Mapping[str, str], beginnings: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in inherited.items() if not name.upper().startswith(beginnings)}
