"""Text of a model that no reader can hold is mended, or refused once with its place (case C20)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.inputs import FAILURE_KINDS_FINAL, Failed, NodeHeartbeat, Succeeded
from contract.results import EMPTY_MANIFEST
from tests.process.gpu_worker.agent_table import Table, running, started
from tests.waiting import until


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    yield from started(Table(tmp_path, heartbeat_ms=60_000))


def test_progress_in_broken_words_is_mended_and_the_film_is_kept(table: Table) -> None:
    run = table.asking(b'{"how": "progress"}')
    assert table.ended(run) == Succeeded(run.job, run.dispatch, EMPTY_MANIFEST)
    assert [progress.message for progress in table.broker.progress] == ["caf\ufffd.mp4"]
    assert table.store.printed_in(run) == "printed \\ud83d\n"


def test_what_was_printed_belongs_to_its_own_attempt_only(table: Table) -> None:
    loud, silent = table.asking(b'{"how": "progress"}'), table.order()
    for run in (loud, silent):
        assert table.ended(run) == Succeeded(run.job, run.dispatch, EMPTY_MANIFEST)
    assert (table.store.printed_in(loud), table.store.printed_in(silent)) == ("printed \\ud83d\n", "")


def test_an_error_in_broken_words_is_that_error_with_its_words_mended(table: Table) -> None:
    run = table.asking(b'{"how": "error"}')
    assert table.ended(run) == Failed(run.job, run.dispatch, "model_error", "ValueError")
    assert table.store.error_of(run).endswith("ValueError: no such file: caf\ufffd.mp4\n")


def test_values_that_nobody_can_hold_fail_once_and_say_where(table: Table) -> None:
    run = table.asking(b'{"how": "values"}')
    assert table.ended(run) == Failed(run.job, run.dispatch, "bad_values", "BadValues")
    assert "bad_values" in FAILURE_KINDS_FINAL, "the film is not made again"
    assert table.store.error_of(run) == "values/title: expected whole characters, found half a surrogate pair\n"
    after = table.order()
    assert table.ended(after) == Succeeded(after.job, after.dispatch, EMPTY_MANIFEST)


@pytest.mark.parametrize("inputs", [b'{"n": 1e999}', b'{"p": "\xff"}', b'{"p": "\\ud83d"}', b"[" * 3_000])
def test_inputs_that_an_older_release_took_and_no_part_can_hold_fail_once(table: Table, inputs: bytes) -> None:
    run = table.asking(inputs)
    assert table.ended(run) == Failed(run.job, run.dispatch, "bad_inputs", "InputsUnreadable")
    assert table.store.error_of(run).startswith("expected inputs ")
    assert table.agent.child_pids == [0]


def test_a_bad_frame_fails_its_attempt_and_nothing_else(tmp_path: Path) -> None:
    with running(Table(tmp_path, heartbeat_ms=5, slots=2)) as table:
        other = table.waiting()
        table.take(other)
        until(lambda: table.broker.said(NodeHeartbeat) and table.broker.said(NodeHeartbeat)[-1].running)
        body = b'{"type":"progress","dispatch":"d","fraction":0.5,"message":"\xff"}'
        raw = len(body).to_bytes(4, "big") + body
        run = table.asking(b'{"how": "raw", "raw": "%s"}' % raw.hex().encode())
        assert table.ended(run) == Failed(run.job, run.dispatch, "bad_outputs", "BadFrame")
        assert table.store.error_of(run).startswith("expected a loaded, progress, succeeded or failed frame in UTF-8")
        before = len(table.broker.said(NodeHeartbeat))
        until(lambda: len(table.broker.said(NodeHeartbeat)) > before)
        assert table.broker.said(NodeHeartbeat)[-1].running == (other.dispatch,)
