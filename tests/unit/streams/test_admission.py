"""What intake does when the checks of its door fail: a refusal for the record's faults, a wait for ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import msgspec
import psycopg
import pytest
import sqlalchemy.exc
from sqlalchemy import Engine

from contract.codec import encode
from contract.side_topics import SubmissionRequested
from registry import audiences, models, pools
from registry.audiences import Audience, AudienceRule
from registry.errors import Code, RegistryError
from registry.models import RegisteredVersion
from runtime.kafka import Record
from streams.door.admission import Admission, Admitted, NotYet, Refused, RegistryAway
from tests.properties.streams.registry_in_memory import VERSION, an_admission


def a_record(model: str = "echo", headers: Sequence[tuple[str, bytes | None]] = ()) -> Record:
    """A submission, with the headers that name it and these. aiokafka gives None for a header without a value."""
    value = encode(SubmissionRequested("acme", "free", model, msgspec.Raw(b'{"prompt":"x"}')))
    all_headers = cast("list[tuple[str, bytes]]", [("ce_source", b"s"), ("ce_id", b"1"), *headers])
    return Record("submissions", 3, 7, 1_700_000_000_000, b"acme", value, all_headers)


def wrapped(error: psycopg.Error) -> sqlalchemy.exc.StatementError:
    """The error as SQLAlchemy raises it."""
    return sqlalchemy.exc.DBAPIError.instance("SELECT", {}, error, psycopg.Error)


def failing(error: Exception) -> Callable[..., object]:
    def fail(*_: object) -> object:
        raise error

    return fail


OUTAGES = [
    psycopg.OperationalError("connection refused"),
    psycopg.InterfaceError("the connection is closed"),
    psycopg.errors.AdminShutdown(),
    psycopg.errors.CannotConnectNow(),
    psycopg.errors.ReadOnlySqlTransaction(),
    psycopg.errors.TooManyConnections(),
    psycopg.errors.UndefinedTable(),
    psycopg.errors.InsufficientPrivilege(),
    psycopg.errors.QueryCanceled(),
    psycopg.errors.DiskFull(),
    psycopg.errors.DeadlockDetected(),
]
FAULTS = [
    psycopg.errors.NumericValueOutOfRange(),
    psycopg.errors.CharacterNotInRepertoire(),
    psycopg.DataError("text fields cannot contain NUL"),
]


@pytest.mark.parametrize("wrap", [wrapped, lambda error: error], ids=["wrapped", "driver"])
@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_an_outage_of_the_registry_is_never_a_refusal(
    monkeypatch: pytest.MonkeyPatch, error: psycopg.Error, wrap: Callable[[psycopg.Error], Exception]
) -> None:
    door = an_admission(monkeypatch)
    monkeypatch.setattr(models, "resolve", failing(wrap(error)))
    with pytest.raises(RegistryAway, match=type(error).__name__):
        door.admit(a_record(), patient=True)


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), sqlalchemy.exc.TimeoutError("pool")])
def test_nor_is_one_of_our_machine(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    door = an_admission(monkeypatch)
    monkeypatch.setattr(models, "lookup", failing(error))
    with pytest.raises(RegistryAway):
        door.admit(a_record(), patient=True)


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_a_fault_of_the_data_never_waits_for_the_registry(
    monkeypatch: pytest.MonkeyPatch, error: psycopg.Error
) -> None:
    door = an_admission(monkeypatch)
    monkeypatch.setattr(models, "resolve", failing(wrapped(error)))
    with pytest.raises(Refused):
        door.admit(a_record(), patient=True)


def test_what_no_check_foresaw_is_refused_by_its_class_and_place_without_its_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    door = an_admission(monkeypatch)
    monkeypatch.setattr(models, "resolve", failing(ZeroDivisionError("a violet walrus")))
    with pytest.raises(Refused) as refused:
        door.admit(a_record(), patient=True)
    assert str(refused.value) == "expected a submission, found what no check foresaw (ZeroDivisionError)"
    said = capsys.readouterr().out
    assert "test_admission.py:" in said
    assert "offset=7" in said
    assert "walrus" not in said


@pytest.mark.parametrize("part", ["_limits", "partitions"])
def test_what_has_nothing_to_do_with_the_record_is_an_outage_whatever_fails_in_it(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    door = an_admission(monkeypatch)
    owner: object = Admission if part == "_limits" else pools
    monkeypatch.setattr(owner, part, failing(KeyError("x")))
    with pytest.raises(RegistryAway, match="KeyError"):
        door.admit(a_record(), patient=True)


CODES: list[Code] = ["corrupt", "unavailable", "unknown_alias"]


@pytest.mark.parametrize("code", CODES)
def test_what_the_registry_refuses_is_a_sentence(monkeypatch: pytest.MonkeyPatch, code: Code) -> None:
    door = an_admission(monkeypatch)
    monkeypatch.setattr(models, "resolve", failing(RegistryError(code, "a violet walrus")))
    with pytest.raises(Refused, match=r"model: .* .*") as refused:
        door.admit(a_record(), patient=True)
    assert "walrus" not in str(refused.value)


def test_a_pool_without_a_partition_is_waited_for_and_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    door = an_admission(monkeypatch)
    monkeypatch.setattr(pools, "partitions", lambda _: {})
    with pytest.raises(NotYet):
        door.admit(a_record(), patient=True)
    with pytest.raises(Refused, match="no partition"):
        door.admit(a_record(), patient=False)


@pytest.mark.parametrize(
    ("traceparent", "kept"),
    [
        (b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01", True),
        (b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-0\n", False),
        (b"\0" * 55, False),
        (b"\xff" * 55, False),
        (b"", False),
        (None, False),
    ],
)
def test_a_trace_context_that_is_none_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, traceparent: bytes | None, kept: bool
) -> None:
    admitted = an_admission(monkeypatch).admit(a_record(headers=[("traceparent", traceparent)]), patient=True)
    assert isinstance(admitted, Admitted)
    assert admitted.traceparent == ((traceparent or b"").decode() if kept else "")


def test_the_registry_is_asked_once_for_many_records_and_again_for_a_version_that_is_too_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = an_admission(monkeypatch)
    resolve, asked = models.resolve, []

    def counted(engine: Engine, reference: str) -> RegisteredVersion:
        asked.append(reference)
        return resolve(engine, reference)

    monkeypatch.setattr(models, "resolve", counted)
    for _ in range(3):
        door.admit(a_record(), patient=True)
        with pytest.raises(NotYet):
            door.admit(a_record("new"), patient=True)
    assert asked == ["echo", "new", "new", "new"]


def a_door_that_shuts_echo_to(
    monkeypatch: pytest.MonkeyPatch, *rules: AudienceRule, known: frozenset[str] = frozenset()
) -> Admission:
    door = an_admission(monkeypatch)
    monkeypatch.setattr(audiences, "of", lambda engine, model: Audience(rules))
    monkeypatch.setattr(Admission, "_known", lambda door, job: job in known)
    return door


@pytest.mark.parametrize("rule", [AudienceRule("all", "", False), AudienceRule("tenant", "acme", False)])
@pytest.mark.parametrize("model", ["echo", "echo@live", "echo@nope", f"echo@{VERSION}", "new"])
def test_a_model_that_the_tenant_may_not_see_is_one_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, model: str, rule: AudienceRule
) -> None:
    door = a_door_that_shuts_echo_to(monkeypatch, rule)
    said = []
    for reference in (model, "none" + model[len(model.partition("@")[0]) :]):
        with pytest.raises(Refused) as refused:
            door.admit(a_record(reference), patient=True)
        said.append(str(refused.value))
    assert said == ["model: none has this name"] * 2


def test_the_tier_of_the_record_decides_where_tiers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused):
        a_door_that_shuts_echo_to(monkeypatch, AudienceRule("tier", "free", False)).admit(a_record(), patient=True)
    other = a_door_that_shuts_echo_to(monkeypatch, AudienceRule("tier", "gold", False))
    assert other.admit(a_record(), patient=True).partition == 0


def test_a_copy_of_what_was_let_in_before_the_model_was_shut_goes_the_way_of_every_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = an_admission(monkeypatch).admit(a_record(), patient=True).record.submission.job
    door = a_door_that_shuts_echo_to(monkeypatch, AudienceRule("all", "", False), known=frozenset({job}))
    assert door.admit(a_record(), patient=True).record.submission.job == job


@pytest.mark.parametrize("part", ["of", "_known"])
def test_who_may_see_a_model_is_no_question_of_the_record(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    door = a_door_that_shuts_echo_to(monkeypatch, AudienceRule("all", "", False))
    owner: object = audiences if part == "of" else Admission
    monkeypatch.setattr(owner, part, failing(KeyError("x")))
    with pytest.raises(RegistryAway, match="KeyError"):
        door.admit(a_record(), patient=True)
