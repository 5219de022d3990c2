"""Who asks for the status learns the truth, also of a stack that died, and of a disk that is full."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import disk, stack, status
from local.errors import AlreadyRunning, CannotStart
from local.lock import StackLock
from local.options import Layout, Options
from local.status import PartStatus, StackStatus, StartFailure

HOLD = """
import sys
from pathlib import Path
from local import status
from local.lock import StackLock
from local.options import Layout
import os
layout = Layout(Path(sys.argv[1]))
lock = StackLock(layout)
assert lock.acquire()
status.write(layout, status.StackStatus(state="ready", data=str(layout.data), pid=os.getpid(), api_url="http://api"))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def holder(layout: Layout) -> Iterator[subprocess.Popen[str]]:
    """A process that looks like a supervisor: it has the lock and wrote a status."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(layout.data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.communicate()


def test_nothing_runs_where_nothing_was_started(tmp_path: Path) -> None:
    assert stack.status(tmp_path / "none") == StackStatus(state="stopped", data=str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    assert stack.down(tmp_path / "none") is False


def test_a_second_one_is_refused_by_name_and_the_first_left_alone(
    layout: Layout, holder: subprocess.Popen[str]
) -> None:
    assert StackLock(layout).holder() == holder.pid
    assert not StackLock(layout).acquire()
    with pytest.raises(AlreadyRunning, match=rf"process {holder.pid}, API at http://api.*headrace down"):
        stack.up(Options(data=layout.data), detach=True)
    assert holder.poll() is None
    assert stack.status(layout.data).state == "ready"


def test_a_killed_stack_is_stopped_whatever_it_said_last(layout: Layout, holder: subprocess.Popen[str]) -> None:
    assert stack.status(layout.data).running
    holder.kill()
    holder.wait(20)
    assert stack.status(layout.data) == StackStatus(state="stopped", data=str(layout.data))
    assert StackLock(layout).holder() is None


def test_why_it_did_not_start_is_still_told_afterwards(layout: Layout) -> None:
    status.write(layout, StackStatus(state="failed", data=str(layout.data), failure=StartFailure("a", "b", "c")))
    assert stack.status(layout.data).failure == StartFailure("a", "b", "c")


def test_a_disk_that_fills_up_is_told_by_whoever_looks(
    layout: Layout, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stack.status(layout.data).warnings == []
    monkeypatch.setattr(disk, "free_mib", lambda _: 12)
    (warning,) = stack.status(layout.data).warnings
    assert "expected at least 268,435,456 bytes (256 MiB) free, found 12,582,912 bytes (12 MiB)" in warning


def test_a_part_that_died_is_seen_though_the_status_can_not_be_written(
    layout: Layout, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old = StackStatus(
        state="ready",
        data=str(layout.data),
        pid=holder.pid,
        parts=[
            PartStatus(name="kafka", state="ready", pid=dead.pid),
            PartStatus(name="api", state="ready", pid=holder.pid),
        ],
    )
    status.write(layout, old)
    monkeypatch.setattr(disk, "free_mib", lambda _: 0)
    found = stack.status(layout.data)
    assert [(part.name, part.state) for part in found.parts] == [("kafka", "no space"), ("api", "ready")]
    assert found.state == "degraded"


def test_too_little_space_to_start_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.require_space(tmp_path)
    monkeypatch.setattr(disk, "free_mib", lambda _: disk.START_FREE_MIB_MIN - 1)
    with pytest.raises(
        CannotStart, match=r"at least 1,073,741,824 bytes \(1024 MiB\) free .*found 1,072,693,248 bytes.*"
    ):
        disk.require_space(tmp_path)


def test_a_small_disk_is_refused_before_anything_is_fetched_or_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "free_mib", lambda _: 200)
    monkeypatch.setattr(stack, "cache", None)
    monkeypatch.setattr(stack, "Process", None)
    with pytest.raises(CannotStart, match=r"at least 1,073,741,824 bytes .* found 209,715,200 bytes"):
        stack.up(Options(data=tmp_path), detach=False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * 200 + "/" + "y" * 200 + "/" + "z" * 250 + "/" + "ü" * 120, "at most 900 bytes, found one of"),
        ("\udcff", "in UTF-8, found other bytes at its byte"),
        ("a\nb", "without line breaks and other control characters, found"),
    ],
)
def test_a_path_in_which_no_server_finds_its_files_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(CannotStart, match=f"{said}.*--data"):
        stack.up(Options(data=tmp_path / name), detach=True)
    assert list(tmp_path.iterdir()) == []


def test_a_data_directory_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(CannotStart, match=r"expected to write to the data directory /proc/headrace, found .*--data"):
        stack.up(Options(data=Path("/proc/headrace")), detach=True)


def test_a_file_in_place_of_the_data_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match=r"found not a directory|found file exists"):
        stack.up(Options(data=tmp_path / "file"), detach=True)


def test_parts_are_written_as_they_are(layout: Layout) -> None:
    written = StackStatus(
        state="degraded", data="d", parts=[PartStatus(name="kafka", state="restarting", restarts=2, note="crashed")]
    )
    status.write(layout, written)
    assert status.last_words(layout) == written
