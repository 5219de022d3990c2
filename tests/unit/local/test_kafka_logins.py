"""The users of a stack's broker: drawn once, for their owner's eyes alone, each with what its role needs."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from contract.access import ROLES, AccessRule
from local import kafka_logins
from local.errors import CannotStart
from local.kafka_server import ADMIN
from local.own_files import FileDamaged
from runtime import kafka_clients
from runtime.kafka_access import AccessChange
from runtime.kafka_credentials import Brokers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kafka-users.json"


class BrokerOfUsers:
    """What was asked of a broker."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.users: set[str] = set()
        self.nodes: set[str] = set()
        """Roles of nodes that some rule names."""
        self.asked_by: set[str] = set()
        monkeypatch.setattr(kafka_logins, "set_users", self._set_users)
        monkeypatch.setattr(kafka_logins, "remove_users", self._remove_users)
        monkeypatch.setattr(kafka_logins, "apply_access", self._apply_access)

    def _set_users(self, brokers: Brokers, passwords: dict[str, str]) -> None:
        self.asked_by.add(brokers.credentials.user)
        self.users |= set(passwords)

    def _remove_users(self, brokers: Brokers, users: Iterable[str]) -> None:
        self.users -= set(users)

    def _apply_access(self, brokers: Brokers, rules: Iterable[AccessRule], prefix: str) -> AccessChange:
        self.nodes = {rule.role for rule in rules if rule.role.startswith("node.")}
        return AccessChange((), ())


def test_each_role_and_each_cluster_has_a_user_of_its_own_which_the_next_start_finds(path: Path) -> None:
    drawn = kafka_logins.draw(path, ["b", "a"])
    assert set(drawn) == {ADMIN, *ROLES, "node.a", "node.b"}
    assert len(set(drawn.values())) == len(drawn)
    assert min(map(len, drawn.values())) == 48
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    more = kafka_logins.draw(path, ["c"])
    assert {role: more[role] for role in drawn} == drawn
    assert kafka_logins.clusters_in(more) == ("a", "b", "c")
    assert json.loads(path.read_text()) == more


def test_a_file_that_holds_no_users_is_left_alone_and_said(path: Path) -> None:
    path.write_text("lost")
    with pytest.raises(FileDamaged, match=r"kafka-users\.json"):
        kafka_logins.draw(path, [])
    assert path.read_text() == "lost"


def test_a_role_without_a_user_is_named(path: Path) -> None:
    with pytest.raises(CannotStart, match="an older release started this stack"):
        kafka_logins.brokers_as(path, "k:1", "producer")
    kafka_logins.draw(path, ["a"])
    with pytest.raises(CannotStart, match=r"found 'node\.b'"):
        kafka_logins.brokers_as(path, "k:1", "node.b")
    shown = kafka_logins.brokers_as(path, "k:1", "node.a").credentials
    assert (shown.user, shown.mechanism) == ("headrace-node.a", "SCRAM-SHA-512")


def test_a_new_cluster_is_admitted_and_the_others_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker, before = BrokerOfUsers(monkeypatch), kafka_logins.draw(path, ["a"])
    kafka_logins.admit(path, "k:1", ["a"])
    assert broker.asked_by == set(), "there is nothing to do"
    kafka_logins.admit(path, "k:1", ["b"])
    assert broker.asked_by == {ADMIN}
    assert broker.nodes == {"node.a", "node.b"}
    assert broker.users == {f"headrace-{role}" for role in (*ROLES, "node.a", "node.b")}
    assert kafka_logins.draw(path, [])["node.a"] == before["node.a"]


def test_who_is_not_kept_loses_user_and_rules(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = BrokerOfUsers(monkeypatch)
    kafka_logins.install(Brokers("k:1"), kafka_logins.draw(path, ["a", "b"]))
    kafka_logins.keep_only(path, "k:1", ["b", "c"])
    assert broker.nodes == {"node.b", "node.c"}
    assert "headrace-node.a" not in broker.users
    assert kafka_logins.clusters_in(kafka_logins.draw(path, [])) == ("b", "c")


def test_data_of_an_older_release_has_a_user_for_each_cluster_with_orders(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Admin:
        topics: Any = dict.fromkeys(("jobs", "dispatch.a", "dispatch.b.c"))

        def list_topics(self, timeout: float) -> Admin:
            return self

    monkeypatch.setattr(kafka_clients, "admin_client", lambda config: Admin())
    assert kafka_logins.clusters_in(kafka_logins.draw_for_topics(path, Brokers("k:1"))) == ("a", "b.c")
