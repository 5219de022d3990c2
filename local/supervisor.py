"""The one process that starts, watches and stops all others: `python -m local.supervisor OPTIONS`.

The supervisor holds the data directory's lock as long as it lives. When the supervisor is killed, the kernel kills
every part (local.processes), so no process is left behind, and the next `up` goes on with the data.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
import structlog

from contract.policy_check import warnings_of
from local import disk, kafka_logins, status
from local.composition import Composition
from local.data_directory import tighten
from local.errors import CannotStart
from local.first_policy import cpu_clusters, read_policy
from local.installation_key import KeyWatch, keys_in
from local.lock import StackLock
from local.model_layers import with_trust
from local.options import Layout, Options, from_argument, recall, remember
from local.own_files import replace
from local.parts import StackPart
from local.program import StackProgram
from local.server import StackServer
from local.status import StackStatus, StartFailure
from runtime.private_files import UMASK
from runtime.private_memory import keep_memory_private
from runtime.shutdown import on_signal
from runtime.telemetry import configure_logging

log = structlog.get_logger(__name__)

TICK_S = 0.1
STATUS_S = 1.0
"""The status file is written when something changed, and at least this often."""

READY_TIMEOUT_S = 120.0
CRASHES_BEFORE_READY_MAX = 3
"""When a part crashes this often before the stack was ready once, starting it again will not help."""

NAMED_NOW = (
    "an older release let every client of this broker do anything; from now on each process has a user of its own, and"
    " so must your own clients: `headrace topics login producer` prints what a producer of submissions needs"
)
EXIT_FAILED = 1
EXIT_ALREADY_RUNNING = 3


class Supervisor:
    def __init__(self, options: Options, pid: int) -> None:
        self._options = options
        self._layout = Layout(options.data)
        self._began = time.monotonic()
        self._parts: dict[str, StackPart] = {}
        self._started: list[list[StackPart]] = []
        """Groups in the order of their start. The parts of a group stop together, and the last group stops first."""
        self.status = StackStatus(state="starting", data=str(self._layout.data), pid=pid)
        self._composition: Composition | None = None
        self._key_watch = KeyWatch(self._layout.installation_keys)
        self._written = b""
        self._written_at = 0.0

    def run(self, stopping: threading.Event) -> int:
        """Start everything, watch it until `stopping` is set, and stop everything. The exit status."""
        self._publish()
        try:
            disk.require_space(self._layout.data)
            with ThreadPoolExecutor(1) as starter:
                begun = starter.submit(self._start, stopping)
                self._until(lambda: begun.done() or stopping.is_set())
                if stopping.is_set():
                    self._stop_all()
                self._until(begun.done)
            if not stopping.is_set():
                begun.result()
                self._await_ready(stopping)
                self._watch(stopping)
        except Exception as error:  # parts that run already are stopped below, and the status says why
            self.status.failure = failure = failure_of(error, self._layout.supervisor_log)
            places = "" if isinstance(error, CannotStart) else "".join(traceback.format_tb(error.__traceback__))
            log.error("cannot start", expected=failure.expected, found=failure.found, todo=failure.todo, places=places)
        self.status.state = "stopping"
        self._stop_all()
        self.status.state = "failed" if self.status.failure else "stopped"
        self._publish()
        return EXIT_FAILED if self.status.failure else 0

    def _start(self, stopping: threading.Event) -> None:
        self._shut()
        memory = recall(self._layout)
        first = read_policy(self._options.policy)
        words_kept_ms = memory.words_kept_ms or first.words_kept_ms
        is_own = self._options.policy is not None
        first, told = with_trust(first, self._layout.data, is_new=not memory.installed, is_own=is_own)
        if told:
            self.status.warnings.append(told)
        if not memory.installed:
            memory = msgspec.structs.replace(memory, cpu_clusters=cpu_clusters(first))
        nameless = memory.installed and not self._layout.kafka_users.exists()
        composition = Composition(
            self._options,
            self._layout,
            memory,
            words_kept_ms,
            clusters=() if memory.installed else first.clusters,
        )
        self._composition = composition
        self._describe(composition)
        if memory.installed and self._options.policy is not None:
            self.status.warnings.append(
                f"{self._options.policy} was not read: this data has a policy; `headrace policy apply` changes it"
            )
        if not memory.installed and self._options.policy is not None:
            self.status.policy_warnings = warnings_of(first)
        servers = [self._add(server) for server in composition.servers]
        programs = [self._add(program) for program in composition.programs]
        nodes = [self._add(node) for node in composition.nodes]
        self._started.append(servers)
        settings = composition.settings

        # local.install brings four fifths of what this process imports, so it is imported while the servers come up.
        def topics() -> None:
            from local import install

            admin = composition.kafka.brokers
            if nameless:
                kafka_logins.draw_for_topics(self._layout.kafka_users, admin)
                self.status.warnings.append(NAMED_NOW)
            kafka_logins.install(admin, kafka_logins.draw(self._layout.kafka_users, ()))
            if not memory.installed:
                install.install_topics(settings, first)

        def tables() -> None:
            from local import install

            install.install_tables_and_keys(
                composition.owner_settings, self._layout.keys, first, composition.database_logins
            )

        def bucket() -> None:
            from local import install

            install.install_bucket(settings)

        boots = {"kafka": topics, "postgres": tables, "s3": bucket}
        _all([partial(self._boot, name, then) for name, then in boots.items()])
        installed = msgspec.structs.replace(
            memory, ports=composition.ports, words_kept_ms=words_kept_ms, installed=True
        )
        remember(self._layout, installed)
        self._started += [programs, nodes]
        for part in programs + nodes:
            if not stopping.is_set():
                part.start()

    def _shut(self) -> None:
        """Take from other accounts what an older release let them read, and say so: they may have read it."""
        loose = tighten(self._layout)
        if loose:
            self.status.warnings.append(
                f"{loose} files of {self._layout.data} were for group or others to read, as an older release made them;"
                " they are shut now, and accounts of this machine may have read prompts and results before"
            )

    def _boot(self, name: str, then: Callable[[], None]) -> None:
        """Start a server and install what belongs in it. A server of the user's own runs already."""
        part = self._parts.get(name)
        if part is not None:
            part.start()
            part.await_ready()
        then()

    def _describe(self, composition: Composition) -> None:
        settings = composition.settings
        self.status.api_url = settings.api_url
        self.status.api_metrics_url = composition.api_metrics_url
        self.status.kafka = settings.kafka
        self.status.s3_endpoint = settings.s3_endpoint
        self.status.keys_file = str(self._layout.keys)
        self.status.warnings += composition.warnings
        replace(self._layout.settings, msgspec.json.encode(settings.environment()), mode=0o600)
        replace(self._layout.owner, msgspec.json.encode(composition.owner_settings.environment()), mode=0o600)

    def _add(self, server: StackServer) -> StackPart:
        part = StackPart(server, self._layout)
        self._parts[part.server.name] = part
        self.status.parts.append(part.status)
        return part

    def _await_ready(self, stopping: threading.Event) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not stopping.is_set() and not self._all_ready():
            self._tick()
            for part in self._parts.values():
                part.require_port()
                late = time.monotonic() > deadline and part.status.state != "ready"
                if part.status.restarts >= CRASHES_BEFORE_READY_MAX or late:
                    raise CannotStart(
                        f"{part.server.name} to be ready",
                        f"it {part.status.note or 'still starting'}. The end of its log:\n{part.log_tail()}\n",
                        "Mend what the log says and start again",
                    )
            self._pause(stopping)
        if not stopping.is_set():
            self.status.ready_after_ms = int((time.monotonic() - self._began) * 1000)
            log.info("ready", after_ms=self.status.ready_after_ms, api_url=self.status.api_url)

    def _watch(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self._tick()
            self.status.state = "ready" if self._all_ready() else "degraded"
            self._pause(stopping)
            if self._key_watch.has_changed() and self._composition is not None:
                self._follow_keys(self._composition, stopping)

    def _follow_keys(self, composition: Composition, stopping: threading.Event) -> None:
        """The installation's keys were changed: start anew each part that has others then, one after another. The
        scheduler is the first, so that it knows a new key before anybody signs with it; as long as it does not run
        again, all others sign as before."""
        if not composition.follows_key_file:
            return
        try:
            programs = composition.renewed(keys_in(self._layout.installation_keys))
        except CannotStart as error:
            log.error("keys not changed", expected=error.expected, found=error.found, todo=error.todo)
            return
        for program in programs:
            part = self._parts[program.name]
            if isinstance(part.server, StackProgram) and part.server.is_as(program):
                continue
            log.info("starts anew with another key", part=program.name, key_id=program.key_id)
            if not self._renew(part, program, stopping):
                log.error("does not run again: the others keep their keys until the next start", part=program.name)
                return
            replace(self._layout.settings, msgspec.json.encode(composition.settings.environment()), mode=0o600)

    def _renew(self, part: StackPart, program: StackProgram, stopping: threading.Event) -> bool:
        """Whether the part is ready again in time."""
        with ThreadPoolExecutor(1) as renewer:
            done = renewer.submit(part.become, program)
            self._until(done.done)
            done.result()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while part.status.state != "ready":
            if stopping.is_set() or time.monotonic() > deadline:
                return False
            self._tick()
            self._pause(stopping)
        return True

    def _tick(self) -> None:
        for part in self._parts.values():
            part.tick()

    def _all_ready(self) -> bool:
        return all(part.status.state == "ready" for part in self._parts.values())

    def _pause(self, stopping: threading.Event) -> None:
        self._publish()
        stopping.wait(TICK_S)

    def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            self._publish()
            time.sleep(TICK_S / 2)

    def _stop_all(self) -> None:
        for group in reversed(self._started):
            stops = [part.stop for part in group if part.server.process is not None]
            with ThreadPoolExecutor(1) as stopper:
                done = stopper.submit(_all, stops)
                self._until(done.done)
                done.result()

    def _publish(self) -> None:
        """Write the status file. A full disk must not end the watch, and readers look at the disk themselves."""
        encoded = msgspec.json.encode(self.status)
        if encoded == self._written and time.monotonic() - self._written_at < STATUS_S:
            return
        try:
            status.write(self._layout, self.status)
        except OSError as error:
            log.warning("status not written", error=error.strerror)
        self._written, self._written_at = encoded, time.monotonic()


def failure_of(error: Exception, log_file: Path) -> StartFailure:
    """Why the stack does not start: something that it needs, a server of the user's own, or a defect of ours, of which
    the log has the places in the code."""
    from runtime.object_store_errors import StoreFault  # here, because most starts meet none of these
    from runtime.postgres_troubles import DATABASE_ERRORS, trouble_of

    if isinstance(error, CannotStart):
        return StartFailure(error.expected, error.found, error.todo)
    if isinstance(error, DATABASE_ERRORS):
        found, todo = trouble_of(error)
        return StartFailure("Postgres to do its work", found, todo[0].upper() + todo[1:])
    if isinstance(error, StoreFault):
        todo = "Correct HEADRACE_S3_ENDPOINT and its keys, or unset them: the stack brings a store of its own"
        return StartFailure("the object store to do its work", str(error), todo)
    return StartFailure("the stack to start", f"{type(error).__name__}: {error}", f"Look at {log_file}")


def _all(actions: Sequence[Callable[[], None]]) -> None:
    """Do the actions side by side. When all have ended, raise the first error."""
    if not actions:
        return
    with ThreadPoolExecutor(len(actions)) as pool:
        futures: list[Future[None]] = [pool.submit(action) for action in actions]
    for future in futures:
        future.result()


def main(arguments: list[str]) -> int:
    keep_memory_private()
    os.umask(UMASK)
    configure_logging("supervisor")
    stopping = on_signal()
    options = from_argument(arguments[0])
    lock = StackLock(Layout(options.data))
    if not lock.acquire():
        return EXIT_ALREADY_RUNNING
    return Supervisor(options, os.getpid()).run(stopping)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
