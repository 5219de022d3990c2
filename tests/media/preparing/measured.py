"""What a preparation costs: time, seconds of processors, and memory of its whole process group together."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import psutil

from contract.media import MediaRule
from runtime.media.confined_program import MediaDecoder
from tests.media.preparing.one import Done, Task

LOOK_EVERY_S = 0.004
ROOT = Path(__file__).parents[3]


class Cost(msgspec.Struct, frozen=True):
    done: Done
    memory_bytes: int
    """The most that was resident at one time, of all processes together (proportional set size: pages that two of them
    share count once)."""
    prepared_bytes: int


def measured(source: Path, kind: str, rule: MediaRule, folder: Path, decoder: MediaDecoder) -> Cost:
    """`folder`: for scratch, emptied afterwards."""
    scratch, target = folder / "scratch", folder / "prepared"
    scratch.mkdir(parents=True)
    task = Task(str(source), kind, rule, str(target), str(scratch), decoder)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.media.preparing.one"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        process_group=0,
    )
    most = _Most(process.pid)
    said, _ = process.communicate(msgspec.json.encode(task), timeout=300)
    done = msgspec.json.decode(said, type=Done)
    size = target.stat().st_size if target.exists() else 0
    shutil.rmtree(folder)
    return Cost(done, most.of_the_group(), size)


class _Most:
    def __init__(self, pid: int) -> None:
        self._bytes, self._pid = 0, pid
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._ended = threading.Event()
        self._thread.start()

    def of_the_group(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._bytes

    def _look(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            with contextlib.suppress(psutil.Error):
                caller = psutil.Process(self._pid)
                everybody = [caller, *caller.children(recursive=True)]
                self._bytes = max(self._bytes, sum(map(_resident, everybody)))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0
