"""The lock of a file: one at a time, told when it does not come free."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry.errors import RegistryError
from registry.file_lock import hold


def test_threads_take_turns(tmp_path: Path) -> None:
    inside, most = 0, 0
    counting = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with hold(tmp_path / "new" / "a.lock", "a version"):
            with counting:
                inside += 1
                most = max(most, inside)
            with counting:
                inside -= 1

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work) for _ in range(20)]:
            done.result(10)
    assert most == 1


def test_who_waits_too_long_is_told_what_is_held_by_whom_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with (
        hold(path, "a version"),
        pytest.raises(RegistryError) as caught,
        hold(path, "version sha256:12", within_s=0.05),
    ):
        pytest.fail("two hold the lock")
    assert caught.value.code == "unavailable"
    assert str(caught.value) == (
        f"expected to work on version sha256:12 within 0.05 s, found {path} held by process {os.getpid()}; if that"
        f" process hangs, end it (`kill {os.getpid()}`), which frees the lock, and try again. Do not remove the file"
    )
    with hold(path, "a version", within_s=0.05):
        pass


def test_an_exception_in_the_block_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyError), hold(tmp_path / "a.lock", "a version"):
        raise KeyError
    with hold(tmp_path / "a.lock", "a version", within_s=0.05):
        pass
