"""The whole stack from one command: `up`, `down` and `status` of a data directory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM

from pydantic import ValidationError
from rich.console import Console
from rich.live import Live

from local import disk, kafka_logins, own_files
from local import status as status_file
from local.data_directory import make_private, require_path
from local.display import render
from local.errors import AlreadyRunning, CannotStart
from local.jars import cache
from local.lock import StackLock
from local.options import Keys, Layout, Options, needed_jars, to_argument
from local.processes import Process
from local.status import StackStatus
from runtime.kafka_access import AccessChange
from runtime.kafka_credentials import Brokers
from runtime.private_files import UMASK
from runtime.settings import Settings
from runtime.shutdown import on_signal

POLL_S = 0.1
DOWN_TIMEOUT_S = 90.0
"""The supervisor stops its parts well within this time. After it, the supervisor is killed, and the parts with it."""

FETCH_TIMEOUT_S = 900.0
"""How long a stack may be starting. Nothing takes longer than a supervisor that has to fetch jars."""


_left_running: list[subprocess.Popen[bytes]] = []
"""Detached supervisors, which outlive this process. Popen would warn of that if the object were collected."""


def up(options: Options, *, detach: bool, console: Console | None = None) -> StackStatus:
    """Start the stack. With `detach` the stack is ready when this returns, and runs on by itself.

    Without `detach`, show the parts until SIGINT or SIGTERM (call this in the main thread), stop the parts, and return
    the last status. Jars that are missing are fetched first, with a progress bar on the console. CannotStart when the
    stack cannot run, AlreadyRunning when a stack runs on this data: that stack is left alone. What `Settings` raises.
    """
    Settings()  # the supervisor reads them too, and has no terminal to tell of one that cannot be used
    layout = Layout(options.data)
    require_path(layout.data)
    _prepare(layout)
    _refuse_second(layout)
    disk.require_space(layout.data)
    layout.status.unlink(missing_ok=True)
    cache.fetch(needed_jars(), console)  # here, because the supervisor has no terminal to show a bar on
    if detach:
        supervisor: subprocess.Popen[bytes] | Process = _detached(options, layout)
        return _await(layout, supervisor, lambda status: status.state in ("ready", "degraded"), lambda _: None)
    return _attended(options, layout, console or Console())


def down(data: Path) -> bool:
    """Stop the stack on this data, its last process included. False when no stack ran."""
    lock = StackLock(Layout(data))
    pid = lock.holder()
    if pid is None:
        return False
    for number, patience_s in ((SIGTERM, DOWN_TIMEOUT_S), (SIGKILL, 10.0)):
        deadline = time.monotonic() + patience_s
        if lock.holder() == pid:
            os.kill(pid, number)
        while lock.holder() == pid:
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_S / 2)
        else:
            break
    return True


def status(data: Path) -> StackStatus:
    """The status of the stack on this data, running or not."""
    return status_file.read(Layout(data))


def settings(data: Path) -> Settings:
    """How to reach the stack that runs, or last ran, on this data. FileNotFoundError when no stack ever ran on it;
    FileDamaged."""
    return _settings_in(Layout(data).settings)


def owner_settings(data: Path) -> Settings:
    """As `settings`, with the login that owns the tables of the database: for making logins, and for nothing else."""
    return _settings_in(Layout(data).owner)


def _settings_in(path: Path) -> Settings:
    environment = own_files.read(path, dict[str, str])
    fields = {name.removeprefix("HEADRACE_").lower(): value for name, value in environment.items()}
    try:
        return Settings.model_validate(fields)
    except ValidationError as error:
        raise own_files.damaged(path, f"{error.error_count()} settings that cannot be read") from None


def brokers(data: Path, role: str) -> Brokers:
    """The broker of the stack that runs, or last ran, on this data, as the user of this role (contract.access).
    FileNotFoundError when no stack ever ran on it; CannotStart when nobody has that role."""
    return kafka_logins.brokers_as(Layout(data).kafka_users, settings(data).kafka, role)


def admit(data: Path, clusters: Iterable[str]) -> None:
    """Give the nodes of these clusters a user of the broker and its rules, unless they have them. Whoever owns the data
    may. KafkaException; CannotStart."""
    kafka_logins.admit(Layout(data).kafka_users, settings(data).kafka, clusters)


def keep_only(data: Path, clusters: Iterable[str]) -> AccessChange:
    """As `admit`, and take both from the nodes of all other clusters. KafkaException; CannotStart."""
    return kafka_logins.keep_only(Layout(data).kafka_users, settings(data).kafka, clusters)


def keys(data: Path) -> Keys:
    """The API keys that were made for this data. FileNotFoundError when no stack ever ran on it; FileDamaged."""
    return own_files.read(Layout(data).keys, Keys)


def _prepare(layout: Layout) -> None:
    try:
        make_private(layout)
        layout.logs.mkdir(mode=0o700, exist_ok=True)
        probe = layout.data / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CannotStart(
            f"to write to the data directory {layout.data}",
            (error.strerror or "an error").lower(),
            "Change its permissions, or name another one with --data",
        ) from None


def _refuse_second(layout: Layout) -> None:
    running = status_file.read(layout)
    if running.running:
        raise AlreadyRunning(str(layout.data), running.pid, running.api_url)


def _command(options: Options) -> list[str]:
    return [sys.executable, "-m", "local.supervisor", to_argument(options)]


def _detached(options: Options, layout: Layout) -> subprocess.Popen[bytes]:
    with own_files.appended(layout.supervisor_log) as log:
        child = subprocess.Popen(
            _command(options), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, umask=UMASK
        )
    _left_running.append(child)
    return child


def _attended(options: Options, layout: Layout, console: Console) -> StackStatus:
    stopping: threading.Event = on_signal()
    supervisor = Process("supervisor", _command(options), layout.supervisor_log, death_signal=SIGTERM)
    supervisor.start()
    with _shown(console) as shown:
        told: list[
            bool
        ] = []  # told once only: a second signal would end the supervisor at once, and its parts without order

        def show(current: StackStatus) -> None:
            shown(current)
            if stopping.is_set() and not told:
                told.append(True)
                supervisor.signal(SIGTERM)

        return _await(layout, supervisor, lambda _: False, show)


@contextmanager
def _shown(console: Console) -> Iterator[Callable[[StackStatus], None]]:
    """Gives what shows a status: in place on a terminal; in a pipe as often as the state of the stack is another."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda current: live.update(render(current), refresh=True)
        return
    states = [""]

    def show(current: StackStatus) -> None:
        if current.state != states[-1]:
            states.append(current.state)
            console.print(render(current), soft_wrap=True)

    yield show


def _await(
    layout: Layout,
    supervisor: subprocess.Popen[bytes] | Process,
    enough: Callable[[StackStatus], bool],
    show: Callable[[StackStatus], None],
) -> StackStatus:
    """Follow the status until `enough`, or until the supervisor ends. CannotStart says why the supervisor failed."""
    deadline = time.monotonic() + FETCH_TIMEOUT_S
    while _alive(supervisor):
        current = status_file.read(layout)
        show(current)
        if current.pid == supervisor.pid and enough(current):
            return current
        time.sleep(POLL_S)
        if time.monotonic() > deadline and current.state == "starting":
            down(layout.data)
            raise CannotStart("the stack to be ready", "that it is not", f"Look at {layout.supervisor_log}")
    _refuse_second(layout)  # another `up` at the same moment may have taken the lock
    last = status_file.last_words(layout)
    if last is not None and last.pid == supervisor.pid:
        show(last)
        if last.failure is not None:
            raise CannotStart(last.failure.expected, last.failure.found, last.failure.todo)
        return last
    raise CannotStart("the supervisor to run", "that it ended at once", f"Look at {layout.supervisor_log}")


def _alive(supervisor: subprocess.Popen[bytes] | Process) -> bool:
    return supervisor.alive() if isinstance(supervisor, Process) else supervisor.poll() is None
