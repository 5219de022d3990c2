"""As whom each process speaks to the broker of an embedded stack, or of compose: one user for each role, drawn once.

All passwords are in one file that its owner alone may read; each process gets its own in its environment, and no other.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from contract.access import PRINCIPAL_PREFIX, ROLES, node_role, rules_for_clusters
from contract.signers import NODE
from contract.topics import DISPATCH_PREFIX
from local.errors import CannotStart
from local.kafka_server import ADMIN
from local.own_files import read, replace
from runtime import kafka_clients
from runtime.kafka_access import AccessChange, apply_access
from runtime.kafka_credentials import Brokers, KafkaCredentials
from runtime.kafka_records import CLIENT
from runtime.kafka_users import remove_users, set_users

FILE = "kafka-users.json"
PASSWORD_BYTES = 24
WAIT_S_MAX, TIMEOUT_S = 30.0, 30.0
_OF_NODES = f"{NODE}."

Passwords = Mapping[str, str]
"""By role: the broker's admin, those of contract.access, and one for the nodes of each cluster."""


def draw(path: Path, clusters: Iterable[str], *, own_admin: bool = True) -> Passwords:
    """The passwords in the file. Those of a role or a cluster that the file lacks are drawn; what is there stays.
    FileDamaged. `own_admin` False: somebody else made the brokers' admin."""
    known = _in(path)
    wanted = (*([ADMIN] if own_admin else []), *ROLES, *map(node_role, clusters))
    drawn = {role: secrets.token_hex(PASSWORD_BYTES) for role in wanted if not known.get(role)}
    if drawn:
        _write(path, known | drawn)
    return known | drawn


def _in(path: Path) -> dict[str, str]:
    return read(path, dict[str, str]) if path.exists() else {}


def _write(path: Path, passwords: Passwords) -> None:
    replace(path, msgspec.json.format(msgspec.json.encode(dict(passwords))), mode=0o600)


def clusters_in(passwords: Passwords) -> tuple[str, ...]:
    """The clusters whose nodes have a user."""
    return tuple(sorted(role.removeprefix(_OF_NODES) for role in passwords if role.startswith(_OF_NODES)))


def credentials(passwords: Passwords, role: str) -> KafkaCredentials:
    """CannotStart when nobody drew a user for this role."""
    password = passwords.get(role)
    if password is None:
        raise CannotStart(
            f"a role that has a user of the stack's broker ({', '.join(sorted(passwords))})",
            repr(role[:200]),
            "Name one of those; `headrace policy apply` makes the user of a new cluster's nodes",
        )
    if role == ADMIN:
        return KafkaCredentials(security="sasl_plaintext", mechanism="PLAIN", user=ADMIN, password=password)
    return KafkaCredentials(security="sasl_plaintext", user=PRINCIPAL_PREFIX + role, password=password)


def settings_of(passwords: Passwords, role: str) -> dict[str, object]:
    """The fields of Settings with which a process speaks to the broker as this role. CannotStart."""
    shown = credentials(passwords, role)
    return {
        "kafka_security": shown.security,
        "kafka_mechanism": shown.mechanism,
        "kafka_user": shown.user,
        "kafka_password": shown.password,
        "kafka_ca": "",
        "kafka_token_url": "",
        "kafka_token_scope": "",
        "kafka_iam_region": "",
        "kafka_development": False,
    }


def brokers_as(path: Path, addresses: str, role: str) -> Brokers:
    """The stack's broker, as this role. CannotStart."""
    passwords = _in(path)
    if not passwords:
        raise CannotStart(
            f"the users of the stack's broker in {path}",
            "none: an older release started this stack",
            "Stop the stack (`headrace down`) and start it again (`headrace up`), which draws them",
        )
    return Brokers(addresses, credentials(passwords, role))


def install(admin: Brokers, passwords: Passwords) -> AccessChange:
    """Have the broker know everybody, and keep the rules of contract.access for them and no others. KafkaException."""
    set_users(admin, {PRINCIPAL_PREFIX + role: word for role, word in passwords.items() if role != ADMIN})
    return apply_access(admin, rules_for_clusters(clusters_in(passwords)), PRINCIPAL_PREFIX)


def draw_for_topics(path: Path, admin: Brokers) -> Passwords:
    """Draw users for the nodes of every cluster that has a topic of orders: the clusters of data that an older release
    made, when clients had no names. KafkaException."""
    found = kafka_clients.admin_client({**CLIENT, **admin.librdkafka()}).list_topics(timeout=TIMEOUT_S).topics
    return draw(path, [name.removeprefix(DISPATCH_PREFIX) for name in found if name.startswith(DISPATCH_PREFIX)])


def write_secrets(folder: Path, clusters: Iterable[str], nodes: Iterable[str]) -> Passwords:
    """For a composition of containers: into the folder of each role, and of each of the nodes (CLUSTER/NODE), the user
    and the password that its process reads through HEADRACE_SECRETS. The passwords, without the admin's.
    FileDamaged."""
    places = [node.partition("/")[::2] for node in nodes]
    passwords = draw(folder / FILE, {*clusters, *(cluster for cluster, _ in places)}, own_admin=False)
    folders = dict(zip(ROLES, ROLES, strict=True)) | {node: node_role(cluster) for cluster, node in places}
    for name, role in folders.items():
        shown = credentials(passwords, role)
        (folder / name).mkdir(exist_ok=True, mode=0o700)
        for setting, text in (("headrace_kafka_user", shown.user), ("headrace_kafka_password", shown.password)):
            replace(folder / name / setting, text.encode(), mode=0o600)
    return passwords


def admit(path: Path, addresses: str, clusters: Iterable[str]) -> AccessChange:
    """Give the nodes of these clusters their user and rules, while the stack runs; those of others stay.
    KafkaException; CannotStart."""
    with _alone(path):
        before = _in(path)
        if set(clusters) <= set(clusters_in(before)):
            return AccessChange((), ())
        return install(brokers_as(path, addresses, ADMIN), draw(path, clusters))


def keep_only(path: Path, addresses: str, clusters: Iterable[str]) -> AccessChange:
    """As `admit`, and take their user and rules from the nodes of all other clusters. KafkaException; CannotStart."""
    with _alone(path):
        admin, known = brokers_as(path, addresses, ADMIN), draw(path, clusters)
        gone = {node_role(cluster) for cluster in set(clusters_in(known)) - set(clusters)}
        kept = {role: word for role, word in known.items() if role not in gone}
        change = install(admin, kept)
        remove_users(admin, [PRINCIPAL_PREFIX + role for role in gone])
        _write(path, kept)
        return change


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two commands at one moment would each write the users that it knows."""
    lock = FileLock(path.with_suffix(".lock"), WAIT_S_MAX, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise CannotStart(
            f"{path} to be free within {WAIT_S_MAX:g} s", "another command at work on it", "Try again when it has ended"
        ) from None
    try:
        yield
    finally:
        lock.release()
