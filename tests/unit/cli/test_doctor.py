"""What `headrace doctor` says about transactions: for how long the broker lets one hold up the readers behind it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from cli import doctor
from local import stack


def found(
    monkeypatch: pytest.MonkeyPatch, values: dict[int, str] | None, *, running: bool = True
) -> list[tuple[bool, str, str]]:
    def asked(bootstrap: str, name: str) -> dict[int, str]:
        assert (bootstrap, name) == ("a broker", "transaction.max.timeout.ms")
        if values is None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return values

    monkeypatch.delenv("HEADRACE_KAFKA", raising=False)
    monkeypatch.setattr(doctor, "settings", lambda data: SimpleNamespace(kafka="a broker"))
    monkeypatch.setattr(stack, "status", lambda data: SimpleNamespace(running=running))
    monkeypatch.setattr(doctor, "broker_setting", asked)
    return [(finding.good, finding.found, finding.todo) for finding in doctor._broker(Path("data"))]


def test_a_minute_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "transaction.max.timeout.ms broker 1: 60000, broker 2: 10000"
    assert found(monkeypatch, {1: "60000", 2: "10000"}) == [(True, said, "")]


@pytest.mark.parametrize("value", ["900000", "60001", ""])
def test_a_longer_time_on_any_broker_is_said_with_what_to_set(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    ((good, said, todo),) = found(monkeypatch, {1: "60000", 2: value})
    assert not good
    assert f"broker 2: {value or 'unknown'}" in said
    assert "set transaction.max.timeout.ms=60000 in the settings of every broker" in todo


def test_a_broker_that_does_not_answer_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    ((good, said, _),) = found(monkeypatch, None)
    assert not good
    assert "Kafka does not answer" in said


def test_where_nothing_runs_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert found(monkeypatch, None, running=False) == []
    monkeypatch.undo()
    monkeypatch.delenv("HEADRACE_KAFKA", raising=False)
    assert doctor._broker(tmp_path) == []
