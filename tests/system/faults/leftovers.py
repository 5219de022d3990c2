"""What a run may leave behind: in the store only results that count, on a node's disk nothing, and no process."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path

import psutil

from local import stack
from operations.inputs_sweep import InputsSweep
from operations.result_sweep import REST_MS, sweep
from runtime.object_store import ObjectStore
from runtime.worker.scratch import ATTEMPTS, GONE
from tests.system.faults.judgement import require_objects
from tests.system.faults.ledger_facts import LedgerFacts
from tests.system.faults.timetable import NODES
from tests.system.installation import Installation
from tests.waiting import until

MIB = 1024 * 1024
DISK_MIB_MAX = 150.0
"""Postgres has 41 of about 60 MiB after 300 jobs, measured on seed 3."""
DELETED_WITHIN_S = 20.0
"""A node deletes what its attempts left in a thread, which other faults may have held up."""


def check_store(here: Installation, facts: LedgerFacts) -> str:
    """What is in the store after a sweep, ten leases from now (REST_MS). A figure for the note."""
    store = ObjectStore(stack.settings(here.data))
    before = store.list("results/")
    late_ms = int(time.time() * 1000) + REST_MS
    inputs = InputsSweep(store, "main")
    swept = sweep(store, inputs.watching(iter(facts.batches)), late_ms)
    media = inputs.remove(late_ms)
    require_objects(facts, store.list("results/"))
    assert not store.list("inputs/"), "every job has ended, so nobody needs its media"
    return f"{len(before)} objects, {swept.objects} of {swept.attempts} attempts and {media.objects} of media swept"


def check_disk(here: Installation) -> str:
    """No attempt has left anything on a node's disk. A figure for the note."""

    def left() -> list[Path]:
        return [
            path
            for node in NODES
            for name in (ATTEMPTS, GONE)
            for folder in (here.layout.processes / node).rglob(name)
            for path in folder.iterdir()
        ]

    until(lambda: not left(), f"nodes have deleted what attempts left: {left()[:3]}", DELETED_WITHIN_S)
    mib = sum(map(_allocated, here.data.rglob("*"))) / MIB
    assert mib <= DISK_MIB_MAX, f"expected the installation to take {DISK_MIB_MAX:g} MiB at most, found {mib:.0f}"
    return f"{mib:.0f} MiB on disk"


def check_processes(here: Installation, slots: int) -> str:
    """Every process of this stack is below its supervisor, and no more models run than there are slots."""

    def strange() -> set[psutil.Process]:
        below = set(here.processes())
        return {process for process in processes_of(here.data) if process not in below}

    until(lambda: not strange(), f"no process is left behind: {[_named(one) for one in strange()]}", DELETED_WITHIN_S)
    models = [len(here.model_processes(node)) for node in NODES]
    assert max(models) <= slots, f"expected at most {slots} model processes a node, found {models}"
    zombies = [one for one in here.processes() if _is_zombie(one)]
    assert not zombies, f"expected no zombies, found {[_named(one) for one in zombies]}"
    return f"{len(here.processes())} processes"


def processes_of(data: Path) -> list[psutil.Process]:
    """Every process that names this data directory in its command or its environment."""
    words = str(data)
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error):
            said = [*process.cmdline(), *process.environ().values()]
            if any(words in one for one in said):
                found.append(process)
    return found


def check_all_ended(data: Path) -> None:
    """After `down`."""
    until(
        lambda: not processes_of(data),
        f"no process is left after `down`: {[_named(one) for one in processes_of(data)]}",
        DELETED_WITHIN_S,
    )


def _allocated(path: Path) -> int:
    """Bytes on the disk: the broker's indexes are sparse. 0 for what was deleted meanwhile."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0
    return status.st_blocks * 512 if stat.S_ISREG(status.st_mode) else 0


def _is_zombie(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return False


def _named(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:120]}"
    except psutil.Error:
        return str(process.pid)
