"""How a process ends: its status, and what its last line says."""

from __future__ import annotations

import ctypes
import os
import re
import resource
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from runtime.entry import Ending, ending, run_process
from runtime.object_store_errors import StoreAway, StoreRefuses
from runtime.private_memory import PR_SET_DUMPABLE, is_memory_private
from runtime.proxies import ProxyUnusable
from runtime.settings import Settings, SettingUnusable


def raised(failure: Exception) -> Exception:
    """The failure, as it is caught."""
    try:
        raise failure
    except type(failure) as caught:
        return caught


@pytest.fixture(autouse=True)
def umask() -> Iterator[int]:
    """That of the tests, which a process of ours changes."""
    before = os.umask(0o022)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    yield before
    os.umask(before)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def test_nobody_else_reads_what_a_process_writes() -> None:
    assert run_process("tester", lambda: os.umask(0o022)) == 0o077


def test_nobody_else_reads_the_memory_of_a_process() -> None:
    assert not is_memory_private()
    assert run_process("tester", is_memory_private) is True


def test_a_process_may_open_as_many_files_as_the_system_lets_it() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        assert run_process("tester", lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0]) > 512
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (4, 4)])
def test_the_status_is_what_main_returns(returned: int | None, status: int) -> None:
    assert run_process("tester", lambda: returned) == status


def test_an_interrupt_is_no_defect(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert run_process("tester", interrupted) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", [SettingUnusable, ProxyUnusable, StoreAway, StoreRefuses])
def test_what_is_wrong_outside_is_one_sentence(kind: type[Exception]) -> None:
    assert ending(kind("why")) == Ending(1, "cannot run", {"found": "why"})


def test_a_broker_that_does_not_answer_is_told_in_its_own_words() -> None:
    _, event, facts = ending(KafkaException(KafkaError(KafkaError._TRANSPORT)))
    assert event == "cannot run"
    assert facts["found"].startswith("expected Kafka to answer, found Local: Broker transport failure; see")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (KafkaError._AUTHENTICATION, "expected Kafka to know this process, found .*; see HEADRACE_KAFKA_USER"),
        (KafkaError.SASL_AUTHENTICATION_FAILED, "expected Kafka to know this process, found "),
        (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            "expected Kafka to allow this to HEADRACE_KAFKA_USER, found Broker: Topic",
        ),
    ],
)
def test_a_broker_that_does_not_know_us_or_forbids_us_is_told_as_that(code: int, said: str) -> None:
    assert re.match(said, ending(KafkaException(KafkaError(code))).facts["found"])


def test_a_setting_is_named_and_its_value_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_API_PORT", "secret")
    with pytest.raises(ValueError, match="api_port") as refused:
        Settings()
    status, event, facts = ending(refused.value)
    assert (status, event) == (2, "cannot run")
    assert facts["found"].startswith("HEADRACE_API_PORT: Input should be a valid integer")
    assert "secret" not in facts["found"]


def test_settings_that_do_not_go_together_are_told_in_their_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SIGNER", "api")
    with pytest.raises(ValueError, match="together") as refused:
        Settings()
    assert ending(refused.value).facts["found"].startswith("expected HEADRACE_SIGNER together with HEADRACE_SIGNING_K")


def test_a_defect_is_told_by_its_places_without_its_words() -> None:
    status, event, facts = ending(raised(ValueError("".join(["se", "cret"]))))
    assert (status, event) == (1, "ended by a defect")
    assert facts["found"].startswith("ValueError at test_entry.py:")
    assert "in raised" in facts["places"]
    assert "secret" not in str(facts)
