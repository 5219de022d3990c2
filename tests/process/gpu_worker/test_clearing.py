"""Deleting what models leave never holds up a heartbeat, however much it is (case C19)."""

from __future__ import annotations

import os
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contract.inputs import NodeHeartbeat, Succeeded
from contract.results import EMPTY_MANIFEST
from tests.process.gpu_worker.agent_table import DEADLINE_S, Table, running
from tests.waiting import until

FILLER = """
import os, tempfile

class Model:
    def load(self, *_): pass
    def predict(self, inputs, ctx):
        for place in (os.path.expanduser("~/.cache"), tempfile.gettempdir(), os.path.dirname(ctx.output("left"))):
            for folder in range(inputs.get("folders", 0)):
                os.makedirs(f"{place}/{folder}")
                for n in range(1000):
                    os.close(os.open(f"{place}/{folder}/{n}", os.O_CREAT | os.O_WRONLY))
        ctx.outputs.clear()
        return {}
"""

FOLDERS_MANY = 100
"""With each 1,000 files, in each of three places: the home, the temporary directory, and that of the outputs."""


def filled(table: Table, folders: int) -> None:
    """An attempt that leaves so many folders, and one of another version, which costs the child and its home."""
    for order in (table.asking(b'{"folders": %d}' % folders), table.order(version="v2")):
        assert table.ended(order) == Succeeded(order.job, order.dispatch, EMPTY_MANIFEST)


def node(directory: Path, heartbeat_ms: int) -> Table:
    table = Table(directory, heartbeat_ms=heartbeat_ms)
    (directory / "code" / "model.py").write_text(FILLER)
    return table


def test_the_heart_beats_while_what_attempts_left_cannot_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let, asked = threading.Event(), threading.Event()
    unlink = os.unlink

    def slow(name: Any, **options: Any) -> None:
        asked.set()
        assert let.wait(DEADLINE_S)
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", slow)
    with running(node(tmp_path, 20)) as table:
        filled(table, 1)
        assert asked.wait(DEADLINE_S)
        before = len(table.broker.said(NodeHeartbeat))
        until(lambda: len(table.broker.said(NodeHeartbeat)) > before + 10, "heartbeats meanwhile")
        order = table.order(version="v2")
        assert table.ended(order) == Succeeded(order.job, order.dispatch, EMPTY_MANIFEST)
        let.set()
        until(lambda: not any((tmp_path / "scratch" / "gone").iterdir()), "all is deleted")


@pytest.mark.long
def test_the_heart_beats_while_many_files_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """300,000 files; no heartbeat is late by more than another half second."""
    beats: list[float] = []
    with running(node(tmp_path, 500)) as table:
        offer = table.broker.offer

        def timed(topic: str, value: bytes | None, **more: Any) -> None:
            if value is not None and b"NodeHeartbeat" in value:
                beats.append(time.monotonic())
            offer(topic, value, **more)

        monkeypatch.setattr(table.broker, "offer", timed)
        filled(table, FOLDERS_MANY)
        until(lambda: not any((tmp_path / "scratch" / "gone").iterdir()), "all is deleted", within_s=300.0)
    gaps = [after - before for before, after in pairwise(beats)]
    assert len(gaps) > 10
    assert max(gaps) < 1.0
