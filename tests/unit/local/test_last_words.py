"""What a process said last: its last error, with the record it names; never more of a log than that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.last_words import READ_BYTES_MAX, SHOWN_CHARACTERS_MAX, last_words

LINE = {"level": "error", "event": "stuck", "found": "why", "topic": "jobs", "partition": 0, "offset": 0}


def written(folder: Path, *lines: dict[str, Any] | str) -> Path:
    log = folder / "part.log"
    log.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return log


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((LINE,), "jobs/0/0: stuck: why"),
        ((LINE, {"level": "info", "event": "stopped"}, "Traceback (most recent call last):"), "jobs/0/0: stuck: why"),
        (({**LINE, "event": "earlier"}, LINE), "jobs/0/0: stuck: why"),
        (({"level": "critical", "event": "a defect"},), "a defect"),
        (({"level": "error", "event": "stuck", "partition": 3, "offset": 9},), "3/9: stuck"),
        (({"level": "warning", "event": "slow"},), ""),
        (("no JSON", "[1]", "7", "[" * 100_000), ""),
        ((), ""),
    ],
)
def test_the_last_error_is_found(tmp_path: Path, lines: tuple[dict[str, Any] | str, ...], said: str) -> None:
    assert last_words(written(tmp_path, *lines)) == said


def test_only_what_this_life_said_counts(tmp_path: Path) -> None:
    log = written(tmp_path, LINE)
    assert last_words(log, log.stat().st_size) == ""
    assert last_words(log, log.stat().st_size + 1) == "jobs/0/0: stuck: why", "the log is a new one"
    assert last_words(tmp_path / "none.log") == ""


def test_a_long_log_is_not_read_and_long_words_are_cut(tmp_path: Path) -> None:
    log = written(tmp_path, LINE, "x" * READ_BYTES_MAX)
    assert last_words(log) == ""
    log = written(tmp_path, {**LINE, "found": "y" * 1000})
    assert len(last_words(log)) == SHOWN_CHARACTERS_MAX


@given(st.binary(max_size=200), st.dictionaries(st.sampled_from(sorted(LINE)), st.text() | st.none() | st.integers()))
def test_whatever_a_log_holds_it_is_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, before: bytes, line: dict[str, Any]
) -> None:
    log = tmp_path_factory.getbasetemp() / "any.log"
    log.write_bytes(before + b"\n" + json.dumps(line).encode() + b"\n")
    assert isinstance(last_words(log), str)
