"""A child process with one version's model, watched by the agent's loop."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from contract.orders import Run
from contract.policy import ISOLATIONS
from gpu_worker.child.failure_streak import FailureStreak
from gpu_worker.child.messages import FromModel, ToModel, frame_decoder
from gpu_worker.child.work import Work
from runtime.worker.child_process import ChildProcess
from runtime.worker.confinement import ChildPlaces, Confinement, Network, interpreter_places
from runtime.worker.frames import BadFrame
from runtime.worker.launch import ChildLaunch
from runtime.worker.loop import Loop
from runtime.worker.room_place import RoomPlace
from runtime.worker.scratch import Scratch
from runtime.worker.strays import Strays

CHILD = Path(__file__).with_name("run_model.py")
"""The program that runs a model, in the version's own environment."""


OWN_NETWORK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
"""A child that has its own network has this one interface, whatever the machine's are called."""


VERSION, _, JOB = ISOLATIONS


class ProcessOwner(Protocol):
    """Who is called, in the loop's thread, when a process has something to be looked at."""

    def on_frames(self, process: ModelProcess) -> None: ...
    def on_print(self, process: ModelProcess) -> None: ...
    def on_end(self, process: ModelProcess) -> None: ...


class ModelProcess:
    def __init__(
        self,
        launch: ChildLaunch,
        work: Work,
        loop: Loop,
        scratch: Scratch,
        strays: Strays,
        owner: ProcessOwner,
        confinement: Confinement | None,
    ) -> None:
        """Start a child for this work's version, in an empty home. OSError when the child cannot be started."""
        room = None if work.room is None else work.room.place(launch.index)
        scratch.new_home(launch.index, None if room is None else room.slot)
        home = scratch.home(launch.index)
        environment = dict(launch.environment) | {"HOME": home, "TMPDIR": scratch.kept(launch.index)}
        python = str(work.supplies.program.python)
        self.version = work.run.version
        before: list[str] = []
        plan: dict[str, Any] = {}
        if confinement is not None:
            if not os.access(python, os.X_OK):  # else only the child would meet it, behind its layers
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), python)
            plan = _plan(confinement, launch, work, scratch, room)
            before = confinement.command(plan)
            if plan["network"] == Network.OWN:
                environment |= OWN_NETWORK
        self.served: set[str] = set()
        """Tenants whose jobs this child was given."""
        self._child = ChildProcess(
            python,
            CHILD,
            environment,
            home,
            frame_decoder(),
            before,
            is_kept=plan.get("processes") == "own",
            descriptors=() if room is None else room.descriptors,
        )
        if work.room is not None:
            work.room.started(launch.index)
        strays.know(self._child.pid, launch.memory_mib)
        self.streak = FailureStreak()
        self._loop = loop
        self._strays = strays
        self._owner = owner
        self._watch_frames()
        loop.watch(self._child.log_fd, lambda _mask: owner.on_print(self))
        loop.watch(self._child.pid_fd, lambda _mask: owner.on_end(self))

    @property
    def pid(self) -> int:
        return self._child.pid

    def may_serve(self, run: Run) -> bool:
        """Whether the child, which has computed others' jobs, may be given this one. A policy that was applied
        meanwhile holds for the child as it is."""
        if run.version != self.version or run.world > 1 or run.isolation == JOB:
            return False
        return run.isolation == VERSION or self.served <= {run.tenant}

    @property
    def is_undying(self) -> bool:
        """It was killed long ago and lives on."""
        return self._child.is_undying

    def send(self, message: ToModel) -> None:
        """Send a message, as soon as the child takes it: the agent never waits for a child that does not read."""
        if not self._child.send(message):
            self._loop.watch(self._child, self._on_writable, writing=True)

    def receive(self) -> list[FromModel | BadFrame] | None:
        """The messages that have arrived; None when the child closed its end. The loop then watches the pipe no more.

        The last may be a BadFrame; call `ignore` then."""
        found = self._child.receive()
        if found is None:
            self.ignore()
        return found

    def ignore(self) -> None:
        """Watch the pipe no more."""
        self._loop.unwatch(self._child)

    def prints(self, pieces_max: int) -> Iterator[bytes]:
        """What the child has printed since, in at most so many pieces of at most 64 KiB."""
        for _ in range(pieces_max):
            data = self._child.printed()
            if data is None:
                self._loop.unwatch(self._child.log_fd)
            if not data:
                return
            yield data

    def terminate(self) -> None:
        """Ask the whole process group to end."""
        self._child.terminate()

    def kill(self) -> None:
        """End the whole process group."""
        self._child.kill()

    def insist(self) -> None:
        """Kill again a child that was killed and lives on."""
        self._child.insist()

    def ended(self, within_s: float = 0.0) -> int | None:
        """End what is left of the process group. The exit status, negative for a signal; None when there is none."""
        status = self._child.ended(within_s)
        if status is not None:
            self._strays.forget(self.pid)
        return status

    def note_end(self) -> None:
        """The announced end has been looked at: the loop need not announce it again."""
        self._loop.unwatch(self._child.pid_fd)

    def close(self) -> None:
        """Let go of all that is open here."""
        for watched in (self._child, self._child.log_fd, self._child.pid_fd):
            self._loop.unwatch(watched)
        self._child.close()

    def _watch_frames(self) -> None:
        self._loop.watch(self._child, lambda _mask: self._owner.on_frames(self))

    def _on_writable(self, _mask: int) -> None:
        if self._child.send_rest():
            self._watch_frames()
        self._owner.on_frames(self)


def _plan(
    confinement: Confinement, launch: ChildLaunch, work: Work, scratch: Scratch, room: RoomPlace | None
) -> dict[str, Any]:
    """What the child of this work may see and use up."""
    program, slot = work.supplies.program, launch.index
    read = (str(CHILD.parent), str(program.code), str(program.weights), *interpreter_places(str(program.python)))
    places = ChildPlaces(read, scratch.slot(slot), scratch.home(slot), scratch.kept(slot))
    goes_out = work.is_apart or (work.run.network and program.manifest.network is True)
    return confinement.plan(
        slot,
        places,
        gpus=launch.device != "cpu",
        memory_mib=launch.memory_mib,
        network=Network.HOST if goes_out else Network.OWN,
        ranks=work.run.world,
        room=room,
    )
