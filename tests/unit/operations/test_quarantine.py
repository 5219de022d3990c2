"""What was set aside, read from the end of the topic, whatever lies in it."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.codec import encode
from contract.side_topics import Quarantined
from contract.topics import QUARANTINE, SUBMISSIONS
from operations import quarantine
from operations.quarantine import Place, PlaceInvalid, text_of, visible
from runtime.kafka import Record
from runtime.kafka_credentials import Brokers

KAFKA = Brokers("a broker")


class Topic:
    """The topic `quarantine` in memory; the first records are no longer kept."""

    def __init__(self, low: int = 0) -> None:
        self.low = low
        self.records: list[Record] = []

    def set_aside(self, place: Place, reason: str, value: bytes = b"x", value_bytes: int = 0, at_ms: int = 0) -> None:
        record = Quarantined(*place, reason, base64.b64encode(value).decode(), value_bytes)
        self.append(encode(record), at_ms)

    def append(self, value: bytes | None, at_ms: int = 0) -> None:
        self.records.append(Record(QUARANTINE, 0, self.low + len(self.records), at_ms, None, value, []))

    def offsets(self, bootstrap: str, topic: str, partition: int) -> tuple[int, int]:
        return self.low, self.low + len(self.records)

    def read_range(self, bootstrap: str, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
        return iter(self.records[start - self.low : end - self.low])


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    topic = Topic(low=40)
    monkeypatch.setattr(quarantine, "offsets", topic.offsets)
    monkeypatch.setattr(quarantine, "read_range", topic.read_range)
    monkeypatch.setattr(quarantine, "CHUNK_RECORDS", 3)
    return topic


def test_the_newest_come_first_and_no_more_than_asked_for(topic: Topic) -> None:
    assert quarantine.newest(KAFKA, 10) == []
    for number in range(8):
        topic.set_aside(Place(SUBMISSIONS, 0, number), f"reason {number}", b"12345", at_ms=number)
    assert [entry.place.offset for entry in quarantine.newest(KAFKA, 100)] == [7, 6, 5, 4, 3, 2, 1, 0]
    (first, second) = quarantine.newest(KAFKA, 2)
    assert (first.reason, first.at_ms, first.value_bytes, first.value) == ("reason 7", 7, 5, b"")
    assert second.place == Place(SUBMISSIONS, 0, 6)


def test_a_record_is_found_by_its_place_the_newest_word_on_it(topic: Topic) -> None:
    topic.set_aside(Place("jobs", 1, 5), "first")
    topic.set_aside(Place("jobs", 1, 5), "second", b"abc", value_bytes=70_000)
    for number in range(5):
        topic.set_aside(Place("jobs", 0, number), "other")
    found = quarantine.find(KAFKA, Place("jobs", 1, 5))
    assert found is not None
    assert (found.reason, found.value, found.value_bytes) == ("second", b"abc", 70_000)
    assert quarantine.find(KAFKA, Place("jobs", 2, 5)) is None


def test_they_are_counted_by_topic_and_no_more_than_a_number_is_read(topic: Topic) -> None:
    for number in range(4):
        topic.set_aside(Place(SUBMISSIONS, 0, number), "r", at_ms=number)
    topic.set_aside(Place("jobs", 0, 9), "r", at_ms=9)
    counted, all_of_them = quarantine.counts(KAFKA, since_ms=3, records_max=100)
    assert all_of_them
    assert [(c.topic, c.last_hour, c.kept, str(c.newest.place)) for c in counted] == [
        ("jobs", 1, 1, "jobs/0/9"),
        ("submissions", 1, 4, "submissions/0/3"),
    ]
    counted, all_of_them = quarantine.counts(KAFKA, since_ms=3, records_max=2)
    assert not all_of_them
    assert [(c.topic, c.kept) for c in counted] == [("jobs", 1), ("submissions", 1)]


def test_what_is_no_record_of_the_topic_names_itself(topic: Topic) -> None:
    for value in (b"not JSON", None, b'{"type":"Quarantined.v1"}', b"\xff" * 10):
        topic.append(value)
    broken = encode(Quarantined("jobs", 0, 1, "why", "not base64!", 12))
    topic.append(broken)
    entries = quarantine.newest(KAFKA, 10)
    assert (entries[0].place, entries[0].value_bytes) == (Place("jobs", 0, 1), 12)
    assert [str(entry.place) for entry in entries[1:]] == [f"quarantine/0/{offset}" for offset in (43, 42, 41, 40)]
    assert all("expected a quarantine record" in entry.reason for entry in entries[1:])


@pytest.mark.parametrize(
    "text", ["", "submissions", "submissions/0", "submissions/x/1", "submissions/0/-1", "a/0/1/2", "A/0/1", "a/0/1\n"]
)
def test_what_names_no_record_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(PlaceInvalid, match="expected a record like submissions/0/17"):
        quarantine.place_of(text)


@given(st.from_regex(r"[a-z0-9._-]{1,40}", fullmatch=True), st.integers(0, 10**9 - 1), st.integers(0, 10**18 - 1))
def test_a_place_is_read_as_it_is_written(topic: str, partition: int, offset: int) -> None:
    place = Place(topic, partition, offset)
    assert quarantine.place_of(str(place)) == place


@given(st.binary())
def test_bytes_of_anybody_do_nothing_to_a_terminal(raw: bytes) -> None:
    assert text_of(raw).isprintable()


@given(st.text())
def test_words_that_can_be_seen_stay_as_they_are(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


def test_escapes_of_a_terminal_are_written_out() -> None:
    assert text_of(b"\x1b[2Jred\x07\xc2\x9b31m \xff\n") == "\\x1b[2Jred\\x07\\x9b31m \\xff\\n"
    assert visible("left\u202eright") == "left\\u202eright"


RECORDS = st.one_of(
    st.binary(max_size=200),
    st.none(),
    st.builds(
        lambda topic, partition, offset, reason, value, size: encode(
            Quarantined(topic, partition, offset, reason, value, size)
        ),
        st.text(max_size=20),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.text(max_size=50),
        st.binary(max_size=50).map(lambda raw: base64.b64encode(raw).decode()) | st.text(max_size=20),
        st.integers(-(2**63), 2**63 - 1),
    ),
)
TAKEN: list[bool] = []


@given(RECORDS)
@settings(max_examples=200)
def _any_record(value: bytes | None) -> None:
    entry = quarantine.entry_of(Record(QUARANTINE, 0, 7, 1, None, value, []))
    assert entry.reason.isprintable()
    assert str(entry.place).isprintable()
    assert entry.value_bytes >= len(entry.value)
    TAKEN.append(entry.place != Place(QUARANTINE, 0, 7))


def test_whatever_lies_in_the_topic_is_an_entry_that_can_be_shown() -> None:
    TAKEN.clear()
    _any_record()
    assert 3 * sum(TAKEN) >= len(TAKEN), "a third of the examples are records of the topic"
