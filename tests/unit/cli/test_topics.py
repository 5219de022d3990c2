"""`headrace topics acls`: the table, and what is said of brokers that do not take it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from cli import topics
from cli.main import run
from local.first_policy import POLICY_FILE
from runtime.kafka_access import AccessChange


def applied(monkeypatch: pytest.MonkeyPatch, outcome: AccessChange | int) -> int:
    def apply(brokers: Any, rules: Any, prefix: str) -> AccessChange:
        assert (brokers, prefix) == ("brokers", "headrace-")
        if isinstance(outcome, int):
            raise KafkaException(KafkaError(outcome))
        return outcome

    monkeypatch.setattr(topics, "elsewhere", lambda: True)
    monkeypatch.setattr(topics, "settings", lambda data: SimpleNamespace(brokers="brokers"))
    monkeypatch.setattr(topics, "apply_access", apply)
    return run(["topics", "acls", str(POLICY_FILE), "--apply"])


def test_the_table_is_printed_and_no_broker_is_asked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = ["topics", "acls", str(POLICY_FILE), "--data", str(tmp_path), "--prefix", "hr-", "--format", "json"]
    assert run(asked) == 0
    rules = json.loads(capsys.readouterr().out)["rules"]
    assert {"principal": "User:hr-auditor", "resource": "topic", "name": "ledger", "operation": "read"} in rules
    assert {"principal": "User:hr-scheduler", "resource": "topic", "name": "dispatch.*", "operation": "write"} in rules


def test_what_was_changed_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert applied(monkeypatch, AccessChange(("a may read b",), ("c may write d",))) == 0
    said = capsys.readouterr().out
    assert "+ a may read b\n- c may write d\n1 rules added, 1 removed" in said


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (KafkaError.SECURITY_DISABLED, "expected brokers with an authorizer, found none"),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, "expected HEADRACE_KAFKA_USER to be one that may alter the cluster"),
        (KafkaError._TRANSPORT, "Kafka does not answer"),
    ],
)
def test_brokers_that_do_not_take_the_rules_are_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int, said: str
) -> None:
    assert applied(monkeypatch, code) == 1
    assert said in " ".join(capsys.readouterr().err.split())
