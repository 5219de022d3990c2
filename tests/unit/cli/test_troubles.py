"""What `headrace status` says beside the parts, and that a server which is away hides nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from cli import api_health, troubles
from cli.main import run
from cli.moments import now_ms
from cli.troubles import HOUR_MS
from local import stack as local_stack
from local.status import StackStatus
from operations.quarantine import Place, SetAside, TopicCounts
from runtime import anonymous_clients
from runtime.anonymous_clients import AnonymousAnswer, Treated
from runtime.object_store import StoreAway
from streams.door.intake_positions import IntakePosition
from tests.twin.object_store import TwinObjectStore
from tests.unit.scheduling.specification import POLICY

AT_MS = 1_700_000_000_000
NEWEST = SetAside(AT_MS, Place("submissions", 0, 17), "model: none has this [name]", 5, b"")
HERE: Any = SimpleNamespace(brokers="a broker", api_url="http://an.api")

SCHEDULER = "http://a.scheduler/metrics"


class Servers:
    """What each answers; an exception is raised."""

    def __init__(self) -> None:
        self.store = TwinObjectStore()
        self.api: Any = {"waiting": ["other"]}
        self.metrics: Any = ""
        self.counts: Any = ([TopicCounts("submissions", 2, 30, NEWEST)], False)
        self.places: Any = [IntakePosition(4)]
        self.policies: Any = []
        self.treated: tuple[AnonymousAnswer, ...] = (
            AnonymousAnswer("k:1", Treated.TURNED_AWAY),
            AnonymousAnswer("k:2", Treated.AWAY),
        )

    def get(self, url: str) -> Any:
        if url == SCHEDULER:
            return SimpleNamespace(text=_answer(self.metrics))
        assert url == "http://an.api/readyz"
        return SimpleNamespace(json=lambda: _answer(self.api))

    def count(self, kafka: str, since_ms: int, records_max: int) -> Any:
        return _answer(self.counts)

    def partitions(self, kafka: str, topic: str) -> int:
        return len(_answer(self.places))

    def positions(self, store: object, kafka: str) -> Any:
        return SimpleNamespace(place=lambda partition: self.places[partition])


def _answer(found: Any) -> Any:
    if isinstance(found, Exception):
        raise found
    return found


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    servers = Servers()
    monkeypatch.setattr(anonymous_clients, "ask", lambda brokers: servers.treated)
    monkeypatch.setattr(api_health, "get", servers.get)
    monkeypatch.setattr("operations.quarantine.counts", servers.count)
    monkeypatch.setattr(troubles, "policies_in_force", lambda here: _answer(servers.policies))
    monkeypatch.setattr(troubles, "partitions", servers.partitions)
    monkeypatch.setattr(troubles, "IntakePositions", servers.positions)
    monkeypatch.setattr(troubles, "store_of_moment", lambda settings: servers.store)
    return servers


def test_what_waits_and_what_was_set_aside_is_named_with_its_place(servers: Servers) -> None:
    servers.places.append(IntakePosition(9, "the registry (OperationalError)", AT_MS))
    said = [line.plain for line in troubles.describe(troubles.find_troubles(HERE))]
    assert said[0] == "pool other: waits, no scheduler has opened it yet"
    assert said[1].startswith("intake: submissions/1/9 waits for the registry (OperationalError) since 20")
    assert said[1].endswith("and all behind it; `headrace quarantine skip submissions/1/9` passes it over")
    assert said[2:] == [
        "quarantine: of submissions at least 30, 2 in the last hour; the newest is submissions/0/17:"
        " model: none has this [name]"
    ]


def test_what_the_api_lacks_is_said(servers: Servers) -> None:
    servers.api, servers.counts = {"status": "degraded", "parts": {"signing": "no key", "kafka": "ok"}}, ([], True)
    assert [line.plain for line in troubles.describe(troubles.find_troubles(HERE))] == ["signing: no key"]


def test_brokers_that_let_anybody_in_are_said(servers: Servers) -> None:
    servers.api, servers.counts = {"status": "ok"}, ([], True)
    servers.treated += (AnonymousAnswer("k:3", Treated.LET_IN, 7),)
    (line,) = troubles.describe(troubles.find_troubles(HERE))
    assert "found that k:3 lists its 7 topics to one without a name" in line.plain


def test_jobs_that_the_views_cannot_show_are_counted(servers: Servers) -> None:
    servers.api, servers.counts = {"status": "ok", "waiting": [], "unreadable": {"main": 2, "other": 1}}, ([], True)
    assert [line.plain.partition(",")[0] for line in troubles.describe(troubles.find_troubles(HERE))] == [
        "pool main: 2 jobs that the views cannot show",
        "pool other: 1 job that the views cannot show",
    ]


def test_nothing_is_said_when_all_is_well(servers: Servers) -> None:
    servers.api, servers.counts = {"status": "ok"}, ([], True)
    assert troubles.describe(troubles.find_troubles(HERE)) == []


def test_pools_that_rest_are_named_with_the_record_that_they_have_not_decided(servers: Servers) -> None:
    metrics = CollectorRegistry()
    resting = Gauge("headrace_pool_resting", "", ["pool"], registry=metrics)
    for pool in ("main", "partition 3"):
        resting.labels(pool).set(1)
    offset = Gauge("headrace_pool_resting_jobs_offset", "", ["pool", "partition"], registry=metrics)
    offset.labels("main", "0").set(41)
    servers.api, servers.counts, servers.metrics = {}, ([], True), generate_latest(metrics).decode()
    said = [line.plain.partition(",")[0] for line in troubles.describe(troubles.find_troubles(HERE, [SCHEDULER]))]
    assert said == ["pool main: rests before jobs/0/41", "pool partition 3: rests"]
    servers.metrics = httpx.ConnectError("no")
    (line,) = troubles.describe(troubles.find_troubles(HERE, [SCHEDULER]))
    assert line.plain == "whether pools rest is not known: the scheduler does not answer"


def test_pools_that_take_unsigned_records_are_named(servers: Servers) -> None:
    metrics = CollectorRegistry()
    unsigned = Gauge("headrace_pool_unsigned", "", ["pool"], registry=metrics)
    unsigned.labels("main").set(1)
    unsigned.labels("other").set(0)
    servers.api, servers.counts, servers.metrics = {}, ([], True), generate_latest(metrics).decode()
    (line,) = troubles.describe(troubles.find_troubles(HERE, [SCHEDULER]))
    assert line.plain.startswith("pool main: takes records of `jobs` that nobody signed")


def test_snapshots_that_cannot_be_written_are_counted_by_pool_and_place(servers: Servers) -> None:
    metrics = CollectorRegistry()
    missed = Gauge("headrace_pool_snapshots_missed", "", ["pool", "where"], registry=metrics)
    missed.labels("main", "object store").set(3)
    missed.labels("main", "disk").set(0)
    servers.api, servers.counts, servers.metrics = {}, ([], True), generate_latest(metrics).decode()
    (line,) = troubles.describe(troubles.find_troubles(HERE, [SCHEDULER]))
    assert line.plain.startswith("pool main, object store: 3 snapshots in a row could not be written there; the pool")


@pytest.mark.parametrize(
    ("away", "failure", "says"),
    [
        ("api", httpx.ConnectError("no"), "whether pools wait, or jobs cannot be shown, is not known"),
        ("api", json.JSONDecodeError("no", "", 0), ""),
        ("counts", KafkaException(KafkaError(KafkaError._TRANSPORT)), "what is in quarantine is not known"),
        ("places", KafkaException(KafkaError(KafkaError._TRANSPORT)), "intake is held up is not known: Kafka"),
        ("places", StoreAway("the store is away"), "intake is held up is not known: the store is away"),
    ],
)
def test_a_server_that_is_away_is_named_and_the_rest_is_shown(
    servers: Servers, away: str, failure: Exception, says: str
) -> None:
    whole = troubles.describe(troubles.find_troubles(HERE))
    setattr(servers, away, failure)
    said = [line.plain for line in troubles.describe(troubles.find_troubles(HERE))]
    assert [line for line in said if says in line] or not says
    assert len(said) >= len(whole) - 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("hangs", "the object store does not answer in time: nothing new is fetched"),
        ("read_only", "the object store answered 403 AccessDenied to PutObject: nothing new is fetched"),
    ],
)
def test_an_object_store_that_does_not_do_its_work_is_said_first(servers: Servers, fault: str, said: str) -> None:
    with servers.store.faulty(**{fault: True}):
        lines = [line.plain for line in troubles.describe(troubles.find_troubles(HERE))]
    assert lines[0].startswith(said)
    assert "whether intake is held up is not known: the object store does not do its work" in lines
    assert len(lines) == len(troubles.describe(troubles.find_troubles(HERE))) + 2


def test_status_asks_only_a_stack_that_runs_and_programs_get_all_of_it(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = StackStatus(state="stopped", data=str(tmp_path))
    monkeypatch.setattr(local_stack, "status", lambda data: found)
    monkeypatch.setattr(local_stack, "settings", lambda data: HERE)
    assert run(["status", "-o", "json"]) == 1
    assert "quarantine" not in json.loads(capsys.readouterr().out)
    found.state, found.pid = "ready", 1
    assert run(["status"]) == 0
    assert "pool other: waits" in capsys.readouterr().out
    assert run(["status", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["state"] == "ready"
    assert document["quarantine"][0] | {"reason": ""} == {
        "topic": "submissions",
        "last_hour": 2,
        "kept": 30,
        "newest": "submissions/0/17",
        "reason": "",
    }


def test_submissions_that_were_lost_are_said_for_a_week(servers: Servers) -> None:
    """Case C25."""
    servers.api, servers.counts = {"status": "ok"}, ([], True)
    week_ms = 7 * 24 * 3_600_000
    servers.places += [
        IntakePosition(90, lost=80, lost_ms=now_ms() - week_ms // 2),
        IntakePosition(90, lost=70, lost_ms=now_ms() - 2 * week_ms),
    ]
    (said,) = [line.plain for line in troubles.describe(troubles.find_troubles(HERE))]
    assert said.startswith("submissions: up to 80 of partition 1 expired before intake had read them")
    assert "words_kept" in said


def test_a_part_that_does_not_do_its_work_is_named_with_what_to_do(servers: Servers) -> None:
    """Case C22."""
    wrong = "failed: expected Postgres to do its work, found it read-only; make it writable again"
    servers.api, servers.counts = {"status": "failing", "parts": {"kafka": "ok", "postgres": wrong}}, ([], True)
    assert [line.plain for line in troubles.describe(troubles.find_troubles(HERE))] == [f"postgres: {wrong}"]


def in_force(words_kept_ms: int) -> Any:
    return SimpleNamespace(policy=msgspec.structs.replace(POLICY, words_kept_ms=words_kept_ms))


def test_a_danger_of_the_policy_in_force_is_said_once_and_one_of_the_first_policy_no_longer(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Case C25: whoever raised words_kept as advised must not be warned for ever."""
    first = StackStatus(state="ready", pid=1, data=str(tmp_path), policy_warnings=["words_kept: the first one's"])
    monkeypatch.setattr(local_stack, "status", lambda data: first)
    monkeypatch.setattr(local_stack, "settings", lambda data: HERE)
    servers.policies = [in_force(HOUR_MS)]
    assert run(["status"]) == 0
    assert "words_kept" not in capsys.readouterr().out
    servers.policies = [in_force(60_000), in_force(60_000)]
    assert run(["status"]) == 0
    assert capsys.readouterr().out.count("warning: words_kept: 60 s is how long") == 1


def test_a_database_that_is_not_there_is_named_once(servers: Servers) -> None:
    servers.api, servers.counts = {"status": "ok"}, ([], True)
    servers.policies = psycopg.OperationalError("server closed the connection unexpectedly")
    assert list(troubles.find_troubles(HERE).failing) == ["postgres"]
    servers.api = {"status": "failing", "parts": {"postgres": "failed: read-only"}}
    assert troubles.find_troubles(HERE).failing == {"postgres": "failed: read-only"}
