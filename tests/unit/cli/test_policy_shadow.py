"""`headrace policy shadow` and `policy shadows` as they are typed: what is written, what is shown, what is refused."""

from __future__ import annotations

import json
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli import output, policy_shadow
from cli.main import run
from contract.topics import SHADOW
from registry import pools as registry_pools
from runtime.kafka import OffsetGone, Record
from tests.unit.audit.ledger import POOL, Ledger
from tests.unit.whatif.played import busy

CANDIDATE = """\
tiers: {api: {slo: 100s}, free: {slo: 10s}}
pools: {main: {partition: 0}}
clusters: {east: {pool: main, limit: 4}}
discipline: fifo
"""
SINCE_THE_BEGINNING = ("--since", "2020-01-01")


class Topic:
    """`shadow` in memory, and the way to write into it."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.partitions = 1

    def count(self, bootstrap: str, topic: str) -> int:
        assert topic == SHADOW
        if not self.partitions:
            raise OffsetGone("none")
        return self.partitions

    def send_and_wait(self, topic: str, value: bytes, *, key: bytes, headers: Any, partition: int) -> None:
        self.records.append(Record(topic, partition, len(self.records), 1_000, key, value, list(headers)))

    def close(self) -> None:
        pass


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    topic = Topic()
    of_topic: dict[str, object] = {
        "partitions": topic.count,
        "offsets": lambda bootstrap, name, partition: (0, len(topic.records)),
        "read_range": lambda bootstrap, name, partition, low, high: iter(topic.records[low:high]),
    }
    for name, stands_for in of_topic.items():
        monkeypatch.setattr(f"whatif.shadow.topic.{name}", stands_for)
    for name, stands_for in {
        "settings": lambda data: SimpleNamespace(brokers=""),
        "pools_of": lambda here, pool: {POOL: 0},
        "database": lambda here: nullcontext(),
        "snapshots_of": lambda here, data: None,
        "Producer": lambda bootstrap, client: topic,
        "on_signal": threading.Event,
    }.items():
        monkeypatch.setattr(policy_shadow, name, stands_for)
    monkeypatch.setattr(registry_pools, "partitions", lambda engine: {POOL: 0})
    follows(monkeypatch, busy())
    return topic


def follows(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    monkeypatch.setattr(policy_shadow, "following_past_of_partition", lambda *_: ledger.past)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "candidate.yaml"
    path.write_text(CANDIDATE)
    return path


def printed(capsys: pytest.CaptureFixture[str], *typed: str) -> Any:
    capsys.readouterr()
    assert run([*typed, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], code: int, *typed: str) -> str:
    """What is said of it, on standard error alone."""
    assert run(list(typed)) == code
    said = capsys.readouterr()
    assert said.out == ""
    return " ".join(said.err.split())


def follow(file: Path, *more: str) -> None:
    assert run(["policy", "shadow", str(file), *SINCE_THE_BEGINNING, *more]) == 0


@pytest.mark.usefixtures("topic")
def test_a_shadow_that_ended_is_compared_with_what_really_happened(
    file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    follow(file)
    assert "candidate in pool main has ended" in capsys.readouterr().out
    assert run(["policy", "shadows", "candidate", "--jobs", str(tmp_path / "jobs.csv")]) == 0
    said = capsys.readouterr().out
    facts = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in said.split("\n\n")[0].splitlines()}
    assert facts["shadow"] == "candidate in pool main"
    assert facts["began"] == "the beginning"
    assert facts["its clock"].endswith("0 ms behind the ledger")
    assert facts["jobs compared"] == facts["would-be dispatches"] == "12"
    assert "shadow    75.0 %" in said, "free has a tenth of the SLO there"
    assert "Not modelled:" in said
    assert len((tmp_path / "jobs.csv").read_text().splitlines()) == 13


@pytest.mark.usefixtures("topic")
def test_for_programs_each_command_is_one_document(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "policy", "shadows") == []
    ended = printed(capsys, "policy", "shadow", str(file), "--name", "other", *SINCE_THE_BEGINNING)
    assert (ended["shadow"], ended["pool"], ended["ended"]) == ("other", POOL, "the time of --until has passed")
    found = printed(capsys, "policy", "shadows", "other")
    assert (found["jobs"], found["discipline"], found["stopped"]) == (12, "fifo", ended["ended"])
    assert [column["name"] for column in found["columns"]] == ["recorded", "shadow"]
    assert len(found["not_modelled"]) >= 8
    assert printed(capsys, "policy", "shadows") == [found]


@pytest.mark.usefixtures("topic")
def test_the_list_fits_80_columns(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_shadow, "now_ms", lambda: 60_000)
    monkeypatch.setattr(output.out, "width", 80)
    assert run(["policy", "shadows"]) == 0
    assert "no shadow is known; start one with `headrace policy shadow FILE`" in capsys.readouterr().err
    follow(file)
    capsys.readouterr()
    assert run(["policy", "shadows"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()] == ["shadow", "candidate"]
    assert "ended 59.0 s ago" in said


def test_one_that_died_begins_again_where_it_began(
    topic: Topic, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    follow(file)
    topic.records.pop()  # it did not say that it stopped
    capsys.readouterr()
    assert run(["policy", "shadow", str(file)]) == 0
    assert "it begins again at the beginning and catches up" in capsys.readouterr().err
    assert printed(capsys, "policy", "shadows", "candidate")["jobs"] == 12
    file.write_text(CANDIDATE.replace("fifo", "edf"))
    assert run(["policy", "shadow", str(file)]) == 0
    assert "begins again" not in capsys.readouterr().err, "another document"


def test_a_damaged_ledger_is_said_and_exits_1(
    topic: Topic, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = busy()
    ledger.edit(20, b"{}")
    follows(monkeypatch, ledger)
    assert run(["policy", "shadow", str(file), *SINCE_THE_BEGINNING]) == 1
    assert "the ledger is damaged at offset 20" in capsys.readouterr().err
    assert printed(capsys, "policy", "shadows", "candidate")["stopped"] == "the ledger is damaged at offset 20"


def test_what_cannot_follow_is_refused_before_anything_is_written(
    topic: Topic, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shadow = ("policy", "shadow", str(file))
    assert "No such file" in refused(capsys, 2, "policy", "shadow", f"{file}.none")
    assert "--name: expected lower case letters" in refused(capsys, 2, *shadow, "--name", "A b")
    assert "--since: expected a time since 1970 like" in refused(capsys, 2, *shadow, "--since", "soon")
    assert "--behind: expected a duration like" in refused(capsys, 2, *shadow, "--behind", "0s")
    file.write_text(CANDIDATE.replace("fifo", "strict"))
    assert "line 4: strict lets jobs wait for ever under overload" in refused(capsys, 2, *shadow)
    file.write_text(CANDIDATE.replace(", free: {slo: 10s}", ""))
    assert "found none called free" in refused(capsys, 2, *shadow, "--since", "2026-09-21T14:13:41Z")
    file.write_text(CANDIDATE.replace("partition: 0", "partition: 3"))
    assert "expected partition 0, which it has for ever" in refused(capsys, 2, *shadow)
    file.write_text(CANDIDATE)
    topic.partitions = 0
    for typed in ((*shadow, "--since", "now"), shadow, ("policy", "shadows")):
        said = refused(capsys, 1, *typed)
        assert "expected topic 'shadow' to have partition 0, found no such topic" in said
        assert "headrace policy apply FILE" in said
    assert topic.records == []


@pytest.mark.usefixtures("topic")
def test_a_name_that_no_shadow_has_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no shadow is known; start one with" in refused(capsys, 2, "policy", "shadows", "second")
    follow(file)
    capsys.readouterr()
    assert "expected one of the shadows (candidate), found 'second'" in refused(
        capsys, 2, "policy", "shadows", "second"
    )
    assert "expected its NAME" in refused(capsys, 2, "policy", "shadows", "--jobs", "jobs.csv")


def test_a_shadow_of_several_pools_asks_for_one(
    topic: Topic, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(policy_shadow, "pools_of", lambda here, pool: {POOL: 0, "other": 1})
    assert "expected --pool NAME, one of main, other" in refused(capsys, 2, "policy", "shadow", str(file))
    assert topic.records == []


@pytest.mark.usefixtures("topic")
def test_records_that_went_while_they_were_read_are_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Retention takes the oldest at any time."""

    def gone(*_: object) -> None:
        raise OffsetGone("expected shadow/0 to hold 0 to 9, found 3 to 9")

    monkeypatch.setattr("whatif.shadow.topic.read_range", gone)
    said = refused(capsys, 1, "policy", "shadows")
    assert "expected shadow/0 to hold 0 to 9, found 3 to 9; records were removed while they were read" in said
