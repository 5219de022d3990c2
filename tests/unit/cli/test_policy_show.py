"""`headrace policy show`: what is in force, and the trial that its ledger knows of."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from cli import policy
from cli.main import run
from contract import inputs
from contract.policy import fingerprint
from tests.unit.audit.ledger import POLICY, POOL, Ledger
from tests.unit.cli.answers import Answers

OTHER = msgspec.structs.replace(POLICY, discipline="fifo")


IN_FORCE = {"pool": POOL, "fingerprint": fingerprint(OTHER), "adopted_ms": 1, "policy": msgspec.to_builtins(OTHER)}


WAITING: list[str] = []


def in_force(path: str) -> Any:
    return {"policies": [dict(IN_FORCE)], "waiting": WAITING}


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    ledger = Ledger(1_700_000_000_000)
    ledger.set_up()
    monkeypatch.setattr(policy, "settings", lambda data: None)
    monkeypatch.setattr(policy, "api", lambda data, operator: Answers(in_force))
    monkeypatch.setattr(policy, "past_of_pool", lambda *_: ledger.past)
    return ledger


def test_a_trial_is_shown_with_its_bound_and_what_was_kept(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.decide(inputs.PolicyApplied(OTHER, fingerprint(OTHER), 995, 20))
    assert run(["policy", "show"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"discipline {OTHER.discipline}" in said
    assert "comes back if fewer than 99.5 % of 20 jobs start within their SLO; so far 0 of 0 have" in said
    assert run(["policy", "show", "-o", "json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["policies"]
    assert entry["trial"] == {
        "before": fingerprint(POLICY),
        "below_permille": 995,
        "jobs": 20,
        "started": 0,
        "kept": 0,
    }


def test_a_policy_that_stays_has_none(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.decide(inputs.PolicyApplied(OTHER, fingerprint(OTHER)))
    assert run(["policy", "show", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["policies"][0]["trial"] is None
    assert run(["policy", "show"]) == 0
    assert "on trial" not in capsys.readouterr().out


def test_it_shows_the_policy_where_the_ledger_cannot_be_read(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: object) -> object:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT, "away"))

    monkeypatch.setattr(policy, "past_of_pool", away)
    assert run(["policy", "show", "-o", "json"]) == 0
    said = capsys.readouterr()
    assert "trial" not in json.loads(said.out)["policies"][0]
    assert "whether the policy is on trial is not known: Kafka does not answer (away); see" in said.err


def test_a_pool_without_a_scheduler_is_said_to_wait(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.unit.cli.test_policy_show.WAITING", ["other"])
    assert run(["policy", "show"]) == 0
    assert "pool other: no scheduler has opened it yet; what is submitted there waits" in capsys.readouterr().err
    assert run(["policy", "show", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["waiting"] == ["other"]
