"""`headrace quarantine …` as it is typed: what is shown of bytes that anybody wrote, and what is asked of intake."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cli import quarantine
from cli.main import run
from contract.topics import SUBMISSIONS
from operations.quarantine import Place, SetAside
from runtime.kafka import Delivery, Record
from streams.door import resubmission, skips
from streams.door.resubmission import CannotResubmit
from streams.door.skips import CannotSkip

AT_MS = 1_700_000_000_000
PLACE = Place(SUBMISSIONS, 0, 17)
EVIL = b"\x1b[31m[bold]red[/]\n"


class Installation:
    """Two records in quarantine; what is asked of the doors behind the commands is kept."""

    def __init__(self) -> None:
        self.entries = [
            SetAside(AT_MS, PLACE, "model: none has this name [x]", len(EVIL), EVIL),
            SetAside(AT_MS - 1, Place("jobs", 1, 5), "expected a record of `jobs`, found [/] bytes", 90_000, b"ab"),
        ]
        self.kept: dict[Place, Record] = {
            PLACE: Record(SUBMISSIONS, 0, 17, AT_MS, b"acme\x07", EVIL, [("ce_id", b"1\x1b"), ("n", None)])  # type: ignore[list-item]
        }
        self.asked: list[tuple[int, int]] = []
        self.end = 9
        self.obeys = True
        self.position = 17

    def newest(self, kafka: str, limit: int) -> list[SetAside]:
        return self.entries[:limit]

    def find(self, kafka: str, place: Place) -> SetAside | None:
        return next((entry for entry in self.entries if entry.place == place), None)

    def original(self, kafka: str, place: Place) -> Record | None:
        return self.kept.get(place)

    def resubmit(self, settings: object, producer: object, partition: int, offset: int) -> Delivery:
        if Place(SUBMISSIONS, partition, offset) not in self.kept:
            raise CannotResubmit("expected a record, found none")
        self.asked.append((partition, offset))
        return Delivery(partition, 99, AT_MS)

    def order_skip(self, settings: object, partition: int, offset: int) -> None:
        if offset < 10:
            raise CannotSkip("expected a record that intake has not passed")
        self.asked.append((partition, offset))
        if self.obeys:
            self.end += 1

    def place(self, partition: int) -> SimpleNamespace:
        return SimpleNamespace(offset=self.position)

    def offsets(self, kafka: str, topic: str, partition: int) -> tuple[int, int]:
        return 0, self.end


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Installation:
    installation = Installation()
    monkeypatch.setattr(quarantine, "settings", lambda data: SimpleNamespace(brokers="a broker"))
    monkeypatch.setattr(quarantine, "Producer", lambda *_: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(quarantine, "offsets", installation.offsets)
    monkeypatch.setattr(quarantine, "POLL_S", 0)
    monkeypatch.setattr(quarantine, "ObjectStore", lambda settings: None)
    monkeypatch.setattr(quarantine, "IntakePositions", lambda store, kafka: installation)
    for name in ("newest", "find", "original"):
        monkeypatch.setattr(f"operations.quarantine.{name}", getattr(installation, name))
    monkeypatch.setattr(resubmission, "resubmit", installation.resubmit)
    monkeypatch.setattr(skips, "order_skip", installation.order_skip)
    return installation


Printed = Callable[..., str]


@pytest.fixture
def printed(there: Installation, capsys: pytest.CaptureFixture[str]) -> Printed:
    def typed(*words: str) -> str:
        capsys.readouterr()
        assert run(["quarantine", *words]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return typed


def document(printed: Printed, *words: str) -> Any:
    return json.loads(printed(*words, "-o", "json"))


def test_the_list_names_each_record_and_why(printed: Printed) -> None:
    lines = printed("list").splitlines()
    assert lines[0].split() == ["when", "topic", "partition", "offset", "bytes", "reason"]
    assert lines[1].strip().split(maxsplit=6)[2:] == [
        "submissions",
        "0",
        "17",
        str(len(EVIL)),
        "model: none has this name [x]",
    ]
    assert "found [/] bytes" in lines[2], "no word is taken for markup"
    assert len(printed("list", "--limit", "1").splitlines()) == 2
    assert [entry["record"] for entry in document(printed, "list")] == ["submissions/0/17", "jobs/1/5"]


def test_an_empty_quarantine_says_so(there: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    there.entries.clear()
    assert run(["quarantine", "list"]) == 0
    assert "nothing is in quarantine" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["submissions/0/17"], ["submissions", "0", "17"]])
def test_a_record_is_shown_with_key_and_headers_and_without_escapes(printed: Printed, words: list[str]) -> None:
    shown = printed("show", *words)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    facts = dict(line.strip().split(maxsplit=1) for line in shown.splitlines() if not line.startswith("header"))
    assert (facts["record"], facts["kept"]) == ("submissions/0/17", "yes, in submissions")
    assert (facts["key"], facts["value"]) == (r"acme\x07", r"\x1b[31m[bold]red[/]\n")
    assert r"header ce_id" in shown


def test_of_a_record_that_is_gone_the_copy_is_shown_and_that_it_is_cut(printed: Printed) -> None:
    shown = printed("show", "jobs/1/5")
    assert "no longer: of its value this is the copy in quarantine" in shown
    assert "ab… (the copy ends here, after 2 of 90000 bytes)" in shown
    found = document(printed, "show", "jobs/1/5")
    assert (found["kept"], found["key"], found["bytes"]) == (False, None, 90_000)
    assert base64.b64decode(found["value_base64"]) == b"ab"


def test_a_long_value_is_cut_for_people_and_whole_for_programs(there: Installation, printed: Printed) -> None:
    there.kept[PLACE] = there.kept[PLACE]._replace(value=b"y" * 10_000)
    assert "… (cut here; -o json has 10000 of its 10000 bytes)" in printed("show", str(PLACE))
    assert len(base64.b64decode(document(printed, "show", str(PLACE))["value_base64"])) == 10_000


def test_a_submission_is_submitted_again_from_where_it_lies(there: Installation, printed: Printed) -> None:
    assert "submissions/0/17 is submitted again as submissions/0/99" in printed("resubmit", "submissions/0/17")
    assert there.asked == [(0, 17)]
    assert document(printed, "resubmit", str(PLACE)) == {"record": "submissions/0/17", "again": "submissions/0/99"}


def test_a_record_is_passed_over_and_that_is_seen(there: Installation, printed: Printed) -> None:
    assert "submissions/0/17 is passed over" in printed("skip", "submissions/0/17")
    assert there.asked == [(0, 17)]
    assert document(printed, "skip", str(PLACE)) == {"record": "submissions/0/17", "passed": True}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["show", "jobs/0/1"], 1, "expected jobs/0/1 in `quarantine`, found nothing of it there"),
        (["show", "nonsense"], 2, "expected a record like submissions/0/17"),
        (["show", "submissions", "0"], 2, "expected one record"),
        (["list", "--limit", "0"], 2, "Invalid value for '--limit'"),
        (["resubmit", "jobs/1/5"], 2, "only a record of `submissions` can be submitted again, found one of 'jobs'"),
        (["resubmit", "submissions/0/18"], 1, "expected a record, found none"),
        (["skip", "ledger/0/3"], 2, "only a record of `submissions` can be passed over, found one of 'ledger'"),
        (["skip", "jobs/0/3"], 2, "only a record of `submissions` can be passed over, found one of 'jobs'"),
        (["skip", "submissions/0/3"], 1, "expected a record that intake has not passed"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    there: Installation, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    assert run(["quarantine", *words]) == code
    shown = capsys.readouterr().err.replace("\n", " ")
    assert message in shown
    assert "Traceback" not in shown
    assert there.asked == []


def test_an_intake_that_does_not_follow_is_reported(
    there: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there.obeys = False
    monkeypatch.setattr(quarantine, "PASSED_WITHIN_S", 0.01)
    assert run(["quarantine", "skip", "submissions/0/17"]) == 1
    assert "it is ordered, but intake has not passed over submissions/0/17" in capsys.readouterr().err


def test_an_intake_that_was_not_held_up_there_any_more_is_reported(
    there: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    there.obeys, there.position = False, 18
    assert run(["quarantine", "skip", "submissions/0/17"]) == 1
    assert "took it as any other record" in capsys.readouterr().err
