"""A child has its log, ends when told, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from local.errors import CannotStart
from local.processes import Process

FOREVER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]

PARENT = """
import sys, time, threading
from pathlib import Path
from local.processes import Process
process = Process("child", [sys.executable, "-c", "import time; time.sleep(600)"], Path(sys.argv[1]))
thread = threading.Thread(target=process.start)
thread.start()
thread.join()
print(process.pid, flush=True)
time.sleep(600)
"""


def up(process: Process) -> bool:
    return process.log_tail().endswith("up")


def test_it_ends_when_asked_and_starts_again(tmp_path: Path) -> None:
    process = Process("child", FOREVER, tmp_path / "logs" / "child.log")
    process.start()
    process.await_ready(lambda: up(process), 20)
    first = process.pid
    assert process.stop(20)
    assert process.exit_status == -signal.SIGTERM
    process.start()
    assert process.pid != first
    process.kill()
    assert process.exit_status == -signal.SIGKILL
    assert process.log.read_text().startswith("up")


def test_it_runs_in_the_directory_it_is_given(tmp_path: Path) -> None:
    folder = tmp_path / "ü b"
    folder.mkdir()
    command = [sys.executable, "-c", "import os, time; print(os.getcwd(), flush=True); time.sleep(600)"]
    process = Process("child", command, tmp_path / "child.log", directory=folder)
    process.start()
    process.await_ready(lambda: process.log_tail() == str(folder), 20)
    process.kill()


def test_nobody_else_reads_its_log_or_what_it_writes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; open('made', 'w'); print('up', flush=True); time.sleep(600)"]
    process = Process("child", command, tmp_path / "logs" / "child.log", directory=tmp_path)
    process.start()
    process.await_ready(lambda: up(process), 20)
    process.kill()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (process.log.parent, process.log, tmp_path / "made")]
    assert modes == [0o700, 0o600, 0o600]


def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    process = Process("child", DEAF, tmp_path / "child.log")
    process.start()
    process.await_ready(lambda: up(process), 20)
    assert not process.stop(0.2)
    assert process.exit_status == -signal.SIGKILL


def test_one_that_ends_before_it_is_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    process = Process("child", [sys.executable, "-c", "print('the reason'); exit(3)"], tmp_path / "child.log")
    process.start()
    with pytest.raises(CannotStart, match=r"(?s)exit status 3.*the reason"):
        process.await_ready(lambda: False, 20)


def test_one_that_is_never_ready_is_reported(tmp_path: Path) -> None:
    process = Process("child", FOREVER, tmp_path / "child.log")
    process.start()
    with pytest.raises(CannotStart, match="ready within 0 s"):
        process.await_ready(lambda: False, 0.1)
    process.kill()


def test_it_dies_with_a_parent_that_is_killed_and_not_with_the_thread_that_asked(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    parent.kill()  # perhaps before the child has asked for the signal of its parent's end
    parent.communicate()
    child.wait(20)


def test_a_child_whose_parent_ended_before_it_could_ask_for_the_signal_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    process = Process("child", FOREVER, tmp_path / "child.log")
    process.start()
    assert process.wait(20)
    assert process.exit_status == 1
    assert process.log.read_text() == ""


def test_its_own_signals_are_not_the_terminals(tmp_path: Path) -> None:
    process = Process("child", FOREVER, tmp_path / "child.log")
    process.start()
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.kill()
