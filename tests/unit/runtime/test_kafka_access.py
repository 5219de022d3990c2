"""The brokers' rules become what the table says: what is missing is added, what is too much goes, others' stay."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka.admin import AclBinding, AclBindingFilter  # type: ignore[attr-defined]

from contract.access import AccessRule
from runtime import kafka_clients
from runtime.kafka_access import apply_access, binding_of, line_of
from runtime.kafka_credentials import Brokers

READ = AccessRule("auditor", "topic", "ledger", "read")
WRITE = AccessRule("scheduler", "topic", "dispatch.", "write", prefixed=True)
ASK = AccessRule("operator", "cluster", "kafka-cluster", "describe_configs")
BROKERS = Brokers("a:1")


def done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


class Authorizer:
    """As librdkafka's AdminClient. A broker speaks of what it has done one question late."""

    def __init__(self, kept: Iterable[AclBinding]) -> None:
        self.kept, self.shown = set(kept), set(kept)
        self.changes = 0

    def describe_acls(self, asked: AclBindingFilter, request_timeout: float) -> Future[Any]:
        shown, self.shown = self.shown, set(self.kept)
        return done(list(shown))

    def create_acls(self, made: list[AclBinding], request_timeout: float) -> dict[AclBinding, Future[Any]]:
        self.changes += 1
        self.kept |= set(made)
        return {binding: done(None) for binding in made}

    def delete_acls(self, gone: list[AclBindingFilter], request_timeout: float) -> dict[AclBindingFilter, Future[Any]]:
        self.changes += 1
        lines = {line_of(one) for one in gone}
        self.kept = {binding for binding in self.kept if line_of(binding) not in lines}
        return {one: done([]) for one in gone}


def authorizer(monkeypatch: pytest.MonkeyPatch, *kept: AclBinding) -> Authorizer:
    made = Authorizer(kept)
    monkeypatch.setattr(kafka_clients, "admin_client", lambda config: made)
    return made


def test_what_is_missing_is_added_and_what_is_too_much_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    other = binding_of(READ, "other-")
    broker = authorizer(monkeypatch, binding_of(READ, "headrace-"), other)
    change = apply_access(BROKERS, [WRITE, ASK], "headrace-")
    assert change.added == (
        "User:headrace-operator may describe_configs cluster kafka-cluster",
        "User:headrace-scheduler may write topic dispatch.*",
    )
    assert change.removed == ("User:headrace-auditor may read topic ledger",)
    assert broker.kept == {other, binding_of(WRITE, "headrace-"), binding_of(ASK, "headrace-")}
    assert broker.shown == broker.kept, "whoever goes on may count on the rules"


def test_a_second_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = authorizer(monkeypatch, binding_of(READ, "headrace-"), binding_of(WRITE, "headrace-"))
    assert apply_access(BROKERS, [WRITE, READ], "headrace-") == ((), ())
    assert broker.changes == 0


def test_to_ask_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = authorizer(monkeypatch, binding_of(READ, "headrace-"))
    change = apply_access(BROKERS, [WRITE], "headrace-", only_ask=True)
    assert (len(change.added), len(change.removed), broker.changes) == (1, 1, 0)
