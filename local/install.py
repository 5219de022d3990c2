"""What a new installation needs once: topics, the first policy, tables, the bucket, API keys, signing keys.

`python -m local.install` makes all of these on the servers that the environment names. What is there already stays.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import psycopg
import stamina
import structlog
from confluent_kafka import KafkaException
from sqlalchemy import make_url

import migrations
from contract import policy, signers, topics
from local import database_passwords, installation_key, kafka_logins
from local.errors import CannotStart
from local.first_policy import POLICY_FILE, read_policy
from local.options import Keys
from local.own_files import FileDamaged, read, replace
from registry import keys, policies, pools
from runtime import database_logins, kafka, postgres
from runtime.anonymous_clients import OpenBroker, require_names
from runtime.entry import run_process
from runtime.object_store import ObjectStore
from runtime.object_store_health import StoreUnfit, require_conditional_writes
from runtime.postgres_troubles import DATABASE_ERRORS, in_a_sentence
from runtime.settings import Settings

SERVERS_TIMEOUT_S = 60

log = structlog.get_logger(__name__)

DEMO_TENANT = "demo"
NO_LOGINS: Mapping[str, str] = {}
OPERATOR_TENANT = "operator"


def install_topics(settings: Settings, first: policy.Policy, replication: int = 1) -> None:
    """Create the topics, and apply the first policy to every pool whose partition of `jobs` is empty."""
    kafka.ensure_topics(settings.brokers, topics.topics_for(first), replication)
    untold = [
        name
        for name, pool in first.pools.items()
        if kafka.offsets(settings.brokers, topics.JOBS, pool.partition)[1] == 0
    ]
    policies.tell(settings, first, untold)


def install_tables_and_keys(
    settings: Settings, keys_file: Path, first: policy.Policy, logins: Mapping[str, str] = NO_LOGINS
) -> None:
    """Bring the tables up to date, give each role its rights, make the logins of our own processes with these
    passwords, register the first policy's pools if the registry has none, and write new API keys to the file unless the
    file holds keys that this database knows. CannotStart when there must be logins and this one may make none."""
    migrations.upgrade(settings.database_url)
    _install_logins(settings, logins)
    engine = postgres.engine(settings)
    tiers = tuple(first.tiers)
    try:
        if not pools.partitions(engine):
            pools.register(engine, first)
        known = _known_keys(keys_file)
        if known is not None and all(keys.resolve(engine, key) for key in (known.api_key, known.operator_key)):
            return
        made = Keys(
            DEMO_TENANT,
            keys.create(engine, DEMO_TENANT, tiers),
            keys.create(engine, OPERATOR_TENANT, tiers, scope="operator"),
        )
        replace(keys_file, msgspec.json.format(msgspec.json.encode(made)), mode=0o600)
    finally:
        engine.dispose()


def _install_logins(settings: Settings, logins: Mapping[str, str]) -> None:
    url = make_url(settings.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True, connect_timeout=postgres.CONNECT_TIMEOUT_S) as connection:
        if not database_logins.grant_all(connection):
            if logins:
                raise CannotStart(
                    "a login that owns the tables and may make roles in DATABASE_URL",
                    "one that may not",
                    "Name the owner of the database, or a superuser",
                )
            log.warning("the roles of the database are left out: this login may make none", todo="database grants")
        for login, password in logins.items():
            database_logins.make_login(connection, login, database_passwords.LOGINS[login], password)


def install_bucket(settings: Settings) -> None:
    """Create the bucket if there is none. CannotStart when the store cannot do what the product needs."""
    store = ObjectStore(settings)
    store.ensure_bucket()
    try:
        require_conditional_writes(store)
    except StoreUnfit as unfit:
        raise CannotStart(unfit.expected, unfit.found, unfit.todo) from None


def _known_keys(keys_file: Path) -> Keys | None:
    try:
        return read(keys_file, Keys)
    except (FileNotFoundError, FileDamaged):
        return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.install", description=__doc__)
    parser.add_argument("--policy", type=Path, default=POLICY_FILE, help="the first policy")
    parser.add_argument("--replication", type=int, default=1, help="copies of each new topic")
    parser.add_argument("--keys", type=Path, required=True, help="the file to write the first API keys to")
    parser.add_argument("--secrets", type=Path, help="the folder in which each process gets its secrets")
    parser.add_argument("--node", action="append", default=[], metavar="CLUSTER/NODE", help="a node that gets one")
    parser.add_argument(
        "--trusted-models", default="false", choices=("true", "false"), help="whether the policy says so"
    )
    parser.add_argument(
        "--kafka-users",
        action="store_true",
        help="make a user of the brokers for each role, with its rules and its secret; takes a super user of theirs",
    )
    options = parser.parse_args()
    settings, logins = Settings(), NO_LOGINS
    require_names(settings)
    try:
        first = read_policy(options.policy)
        if options.trusted_models == "true":
            first = msgspec.structs.replace(first, trusted_models=True)
        if options.secrets is not None:
            own = installation_key.write_secrets(options.secrets, [f"{signers.NODE}.{node}" for node in options.node])
            settings = settings.model_copy(update=installation_key.settings_of(own))
            logins = database_passwords.write_secrets(options.secrets, settings)
        users = None
        if options.secrets is not None and options.kafka_users:
            users = kafka_logins.write_secrets(options.secrets, first.clusters, options.node)
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    steps: tuple[Callable[[], None], ...] = (
        lambda: _users_if_asked(settings, users),
        lambda: _topics_if_new(settings, first, options.replication),
        lambda: install_tables_and_keys(settings, options.keys, first, logins),
        lambda: install_bucket(settings),
        lambda: require_names(settings),  # again: until now the brokers may have been away, or without a topic
    )
    try:
        for step in steps:
            _with_patience(step)
    except (CannotStart, kafka.TopicMismatch) as error:
        print(error, file=sys.stderr)
        return 1
    except DATABASE_ERRORS as error:
        print(in_a_sentence(error), file=sys.stderr)
        return 1
    return 0


def _with_patience(step: Callable[[], None]) -> None:
    """Try the step again while servers do not answer: they may have been started at the same moment as this process.
    Every step can be repeated."""

    def passes(error: Exception) -> bool:
        return not isinstance(error, kafka.TopicMismatch | CannotStart | OpenBroker)

    for attempt in stamina.retry_context(on=passes, timeout=SERVERS_TIMEOUT_S, attempts=None, wait_max=2):
        with attempt:
            step()


def _users_if_asked(settings: Settings, users: kafka_logins.Passwords | None) -> None:
    if users is not None:
        kafka_logins.install(settings.brokers, users)


def _topics_if_new(settings: Settings, first: policy.Policy, replication: int) -> None:
    """Install topics and the first policy, unless every pool has a policy. That policy may have changed since, and the
    topics with it."""
    try:
        told = all(kafka.offsets(settings.brokers, topics.JOBS, pool.partition)[1] for pool in first.pools.values())
    except KafkaException:
        told = False
    if not told:
        install_topics(settings, first, replication)


if __name__ == "__main__":
    sys.exit(run_process("install", main))
