"""What `headrace doctor` says: of transactions that hold up readers, of proxies, of parts that crashed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from confluent_kafka import KafkaError, KafkaException

from cli import api_health, doctor, output
from cli.doctor import DoctorFinding
from local import stack
from local.status import PartStatus
from runtime import anonymous_clients
from runtime.anonymous_clients import AnonymousAnswer, Treated
from runtime.kafka_credentials import Brokers
from runtime.media.decoder_program import FLOOR, LOOKED_AT, DecoderProgram
from runtime.settings import Settings
from runtime.worker.canary_flight import LayersFound
from runtime.worker.confinement import Form, KernelFacts, Layer, confinement


def found(monkeypatch: pytest.MonkeyPatch, values: dict[int, str] | None) -> list[tuple[bool, str, str]]:
    def asked(brokers: Brokers, name: str) -> dict[int, str]:
        assert (brokers, name) == (Brokers("broker:1"), "transaction.max.timeout.ms")
        if values is None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return values

    monkeypatch.setattr(doctor, "broker_setting", asked)
    return [(finding.good, finding.found, finding.todo) for finding in doctor._broker(Settings(kafka="broker:1"))]


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


@pytest.mark.parametrize(
    ("treated", "development", "good", "suspect", "said"),
    [
        (Treated.TURNED_AWAY, False, True, False, "one without a name is turned away"),
        (Treated.LET_IN, False, False, False, "k:1 lists its 7 topics to one without a name"),
        (Treated.LET_IN, True, True, True, "k:1 lists its 7 topics to one without a name"),
        (Treated.AWAY, False, True, True, "not found out: k:1 did not answer"),
    ],
)
def test_brokers_are_asked_what_they_do_with_a_client_without_a_name(
    treated: Treated, development: bool, good: bool, suspect: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anonymous_clients, "ask", lambda brokers: (AnonymousAnswer("k:1", treated, 7),))
    finding = doctor._names(Settings(kafka_development=development))
    assert (finding.good, finding.suspect, finding.found) == (good, suspect, said)
    assert bool(finding.todo) == (treated is not Treated.TURNED_AWAY)


def test_where_nothing_runs_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HEADRACE_KAFKA", "HEADRACE_API_URL"):
        monkeypatch.delenv(name, raising=False)
    status = stack.status(tmp_path)
    assert doctor._installation(tmp_path, status) == []
    monkeypatch.setattr(doctor, "settings", lambda data: Settings())
    assert [finding.what for finding in doctor._installation(tmp_path, status)] == [
        "commands sign what they tell schedulers"
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"parts": {"kafka": "ok"}}, [(True, "the API", "each part that it needs does its work")]),
        ({"parts": {"kafka": "ok", "signing": "no key"}}, [(False, "the API: signing", "no key")]),
        (httpx.ConnectError("no"), [(False, "the API", "no answer from http://an.api")]),
    ],
)
def test_an_api_that_lacks_something_is_named(monkeypatch: pytest.MonkeyPatch, answer: Any, said: list[Any]) -> None:
    def get(url: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(json=lambda: answer)

    monkeypatch.setattr(api_health, "get", get)
    monkeypatch.setattr(doctor, "elsewhere", lambda: False)
    found = doctor._api(Settings(api_url="http://an.api"), running=True)
    assert [(finding.good, finding.what, finding.found) for finding in found] == said


@pytest.mark.parametrize(
    ("environment", "good", "suspect", "said"),
    [
        ({"HTTP_PROXY": "http://p:1"}, True, True, "set NO_PROXY=localhost,127.0.0.1,::1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "localhost"}, True, True, "set NO_PROXY=localhost,127.0.0.1,::1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "localhost,127.0.0.1,::1"}, True, False, ""),
        ({"ALL_PROXY": "socks5h://p:1", "NO_PROXY": "*"}, False, False, "expected ALL_PROXY to name a proxy by http"),
    ],
)
def test_proxies_are_looked_at(environment: dict[str, str], good: bool, suspect: bool, said: str) -> None:
    (finding,) = doctor._proxies(environment)
    assert (finding.good, finding.suspect) == (good, suspect)
    assert said in finding.todo
    assert doctor._proxies({}) == []


def test_a_part_that_crashed_has_no_note_under_a_tick() -> None:
    part = PartStatus(name="api", state="ready", restarts=2, note="crashed (exit status 1)", log="api.log")
    assert doctor._part(part) == DoctorFinding("api", True, "ready, 2 crashes")
    part.steady = False
    again = doctor._part(part)
    assert (again.good, again.suspect, again.todo) == (True, True, "crashed (exit status 1); its log is api.log")
    part.state = "restarting"
    assert (doctor._part(part).good, doctor._part(part).suspect) == (False, False)
    assert str(output.mark(again.good, suspect=again.suspect)) == "!"


def decoder(
    monkeypatch: pytest.MonkeyPatch, *, formats: int, missing: tuple[str, ...] = (), broken: bool = False
) -> list[tuple[bool, bool, str]]:
    program = DecoderProgram("/opt/ffmpeg", "n9", formats, "GPL 3", missing)
    monkeypatch.setattr(doctor, "find_program", lambda named: Path(named or "/wheel"))
    monkeypatch.setattr(doctor, "look_at", lambda path: program)
    found = confinement(Form.NAMESPACES, KernelFacts(1000, 0, 1, 7, 1), Path("/root"), [], {})
    layers = LayersFound(found, {Layer.SOCKETS: ("reach a socket",)} if broken else {})
    return [(finding.good, finding.suspect, finding.found) for finding in doctor._decoder("", layers)]


def test_the_decoder_is_said_with_its_version_its_licence_and_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    used, held = decoder(monkeypatch, formats=LOOKED_AT)
    assert used == (True, False, "FFmpeg n9, GPL 3, /opt/ffmpeg")
    assert held[:2] == (True, False)
    assert "a network of its own, sees libraries and its own folder alone" in held[2]


def test_a_decoder_that_is_old_or_not_held_off_deserves_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    used, held = decoder(monkeypatch, formats=FLOOR, broken=True)
    assert (used[:2], held[:2]) == ((True, True), (True, True))


def test_a_decoder_that_cannot_do_the_work_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoder(monkeypatch, formats=FLOOR - 1) == [(False, False, "FFmpeg n9, GPL 3, /opt/ffmpeg")]
    assert decoder(monkeypatch, formats=LOOKED_AT, missing=("libx264",))[0][0] is False


def test_no_decoder_is_bad() -> None:
    (finding,) = doctor._decoder("/nowhere/ffmpeg", "not found out")
    assert (finding.good, "HEADRACE_FFMPEG" in finding.found) == (False, True)
