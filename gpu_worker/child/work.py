"""What a slot is given to compute: one rank of one attempt, with all that its child needs."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

import msgspec

from contract.orders import Run
from gpu_worker.child.gang_room import GangRoom
from gpu_worker.child.messages import GangPlace, LoadModel, RunModel
from gpu_worker.io.prepared_inputs import with_paths
from gpu_worker.io.supplies import Supplies
from gpu_worker.rules.outcome import ChildOutcome, Computed
from runtime.worker.launch import ChildLaunch
from runtime.worker.prints import Prints
from runtime.worker.scratch import Scratch

JOIN_S = 600.0
"""How long the ranks of a gang wait for each other before and after they load: a node may have to fetch the version."""

HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Work:
    """One rank of an attempt. An attempt of one rank has rank 0."""

    run: Run
    supplies: Supplies
    rank: int = 0
    rendezvous: str = ""
    """Of a gang: host:port of its rank 0."""
    room: GangRoom | None = None
    """Of a gang with several ranks here: what they share."""

    @property
    def gang(self) -> GangPlace | None:
        """What a child must know to join its gang; None for an attempt of one rank."""
        run = self.run
        return GangPlace(run.dispatch, self.rendezvous, JOIN_S, run.timeout_ms / 1000) if run.world > 1 else None

    @property
    def is_apart(self) -> bool:
        """Whether other nodes have ranks of the attempt."""
        return self.run.world > max(1, len(self.run.ranks))

    def load_message(self, launch: ChildLaunch) -> LoadModel:
        program, world = self.supplies.program, self.run.world
        code, weights, entry_point = str(program.code), str(program.weights), program.manifest.entry_point
        return LoadModel(code, weights, entry_point, launch.device, self.rank, world, launch.threads, self.gang)

    def run_message(self, launch: ChildLaunch, scratch: Scratch) -> RunModel:
        """OSError when the attempt's media cannot be put where the child reads them."""
        dispatch, supplies = self.run.dispatch, self.supplies
        inputs = supplies.inputs
        if supplies.media:
            inputs = with_paths(inputs, supplies.media, scratch.give_fetched(launch.index, dispatch))
        outputs, temporary = scratch.writing(launch.index), scratch.temporary(launch.index)
        return RunModel(dispatch, inputs, outputs, temporary, launch.frames_bytes_max)


class LaunchedWork:
    """Work in a slot, from its launch until it is done or halted."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.is_sent = False
        """The child has been given the work; else the work waits for the child of another version to end."""
        self.is_halting = False
        self.prints = Prints()
        self._launched_s = time.monotonic()
        self._load_ms = 0
        self._verdict: ChildOutcome | None = None

    def settle(self, outcome: ChildOutcome) -> ChildOutcome:
        """The first outcome that is known stands and is returned: an answer after a time-out changes nothing."""
        if self._verdict is None:
            self._verdict = outcome
        return self._verdict

    @property
    def is_settled(self) -> bool:
        return self._verdict is not None

    def note_loaded(self) -> None:
        """The work waited for its version until now. Not called when the child had the version loaded."""
        self._load_ms = max(1, round(1000 * (time.monotonic() - self._launched_s)))

    def told(self, outcome: ChildOutcome) -> ChildOutcome:
        """The outcome with what is known of the attempt beside it."""
        prints = self.prints.tail()
        if isinstance(outcome, Computed):
            return msgspec.structs.replace(outcome, prints=prints, load_ms=self._load_ms)
        return msgspec.structs.replace(outcome, prints=prints)


def rendezvous_here() -> str:
    """host:port on this machine that nothing uses now, for a gang whose ranks are all on this node."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind((HERE, 0))
        return f"{HERE}:{free.getsockname()[1]}"
