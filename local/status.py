"""The status of a stack: its supervisor writes the status to a file, and any process may read it."""

from __future__ import annotations

from typing import Literal

import msgspec
import psutil

from local import disk
from local.lock import StackLock
from local.options import Layout
from local.own_files import FileDamaged, replace
from local.own_files import read as read_file

PartState = Literal["waiting", "fetching", "starting", "ready", "restarting", "no space", "stopping", "stopped"]
StackState = Literal["starting", "ready", "degraded", "stopping", "stopped", "failed"]


class PartStatus(msgspec.Struct, kw_only=True):
    name: str
    state: PartState = "waiting"
    pid: int = 0
    port: int = 0
    restarts: int = 0
    """How often the part crashed since the stack was started."""
    note: str = ""
    """Why the part is not ready, or how it ended last time and at which record, if that is known."""
    steady: bool = True
    """The part has not crashed since the stack was started, or has run for a minute since its last crash."""
    log: str = ""
    key_id: str = ""
    """Of the installation key from which the key is derived with which the part signs; empty: it signs nothing."""


class StartFailure(msgspec.Struct, frozen=True):
    """Why the stack did not start: the three parts of a CannotStart."""

    expected: str
    found: str
    todo: str


class StackStatus(msgspec.Struct, kw_only=True):
    """`degraded`: the stack runs, and a part of it does not."""

    state: StackState
    data: str
    pid: int = 0
    """The supervisor's. 0 when no stack runs."""
    api_url: str = ""
    api_metrics_url: str = ""
    """Where the numbers of the API process are; those of another are at its part's port."""
    kafka: str = ""
    s3_endpoint: str = ""
    keys_file: str = ""
    """Where the API keys of the tenant `demo` and of the operator are, readable by the owner."""
    ready_after_ms: int = 0
    """How long the stack took from start to ready. 0 before it was ready."""
    parts: list[PartStatus] = []
    warnings: list[str] = []
    policy_warnings: list[str] = []
    """What is dangerous in the first policy of new data. Another may be in force since: whoever can ask, asks."""
    failure: StartFailure | None = None

    @property
    def running(self) -> bool:
        return self.pid != 0


def write(layout: Layout, status: StackStatus) -> None:
    replace(layout.status, msgspec.json.encode(status), durable=False)


def read(layout: Layout) -> StackStatus:
    """The status of the stack on this data, running or not.

    A stack whose supervisor is gone is `stopped`, whatever the file says."""
    if not layout.data.is_dir():
        return StackStatus(state="stopped", data=str(layout.data))
    holder = StackLock(layout).holder()
    status = last_words(layout)
    if holder is None:
        return StackStatus(state="stopped", data=str(layout.data), failure=status.failure if status else None)
    if status is None or status.pid != holder:
        status = StackStatus(state="starting", data=str(layout.data), pid=holder)
    space = disk.warning(layout.data)
    _correct(status, "no space" if space else "restarting")
    if space and space not in status.warnings:
        status.warnings.append(space)
    return status


def _correct(status: StackStatus, state: PartState) -> None:
    """Give parts whose process is gone this state. The file can be old: on a full disk it cannot be written."""
    for part in status.parts:
        if part.pid and not psutil.pid_exists(part.pid):
            part.state, part.pid = state, 0
            if status.state == "ready":
                status.state = "degraded"


def last_words(layout: Layout) -> StackStatus | None:
    """What the status file says, whoever wrote it. None when there is no such file."""
    try:
        return read_file(layout.status, StackStatus)
    except (FileNotFoundError, FileDamaged):
        return None
