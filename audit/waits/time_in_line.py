"""The time that one job stands in its line, divided among what holds the slots on which the job could run."""

from __future__ import annotations

from audit.waits.causes import Shares
from audit.waits.contention import Contention, DispatchPlace
from contract import events as said
from contract.batch import Batch
from contract.events import Event
from contract.names import dispatch_id
from scheduling.state.pool import State


class TimeInLine:
    """Hears every event of the ledger, so that only nodes whose attempts changed are looked at again."""

    def __init__(self, job: str) -> None:
        self._job = job
        self._changed: set[str] | None = set()
        """Nodes whose attempts changed since the last look; None: nodes, clusters or the policy changed."""
        self.begin_life()

    def begin_life(self) -> None:
        """Another life of the job begins: it has not stood in line yet."""
        self._since: DispatchPlace | None = None
        """The place in the ledger from which on the job could be picked; None: it could not until just now."""
        self._passed: set[str] = set()
        """Dispatches that look-ahead put before the job."""
        self._contention: Contention | None = None

    def leave(self) -> None:
        """The job is dispatched: it stands in line no longer."""
        self._since, self._contention = None, None
        self._passed.clear()

    def may_be_picked(self, state: State) -> None:
        """The job may be picked from the record of this state on, if it could not be picked before."""
        if self._since is None:
            self._since, self._contention = (state.epoch, state.seq, 0), None

    def split(self, state: State, from_ms: int, until_ms: int, shares: Shares) -> None:
        """Divides a stretch among what holds the slots that fit, by the state in that stretch."""
        held = self._contention
        if held is None:
            held = self._contention = Contention(self._job, self._since, self._passed)
            held.look(state)
        elif self._changed is None:
            held.look(state)
        else:
            held.look_again(state, self._changed)
        self._changed = set()
        shares.split(held.weights(state), from_ms, until_ms)
        for cause, jobs in held.jobs.items():
            shares.name(cause, jobs)
        held.jobs.clear()

    def hear(self, state: State, batch: Batch, index: int, event: Event) -> None:
        """An event of the ledger; `state` is the state before the batch."""
        if isinstance(event, said.JobDispatched) and event.passed == self._job:
            self._passed.add(dispatch_id(batch.epoch, batch.seq, index))
        if isinstance(event, _OF_ALL_NODES):
            self._changed = None
        elif self._changed is None:
            return
        elif isinstance(event, said.JobDispatched):
            self._changed |= {event.node, *(member.node for member in event.members)}
        elif isinstance(event, _OF_ATTEMPTS):
            job = state.jobs.get(event.job)
            if job is not None and state.versions[job.version].requirements.ranks > 1:
                self._changed = None  # a gang holds slots of several nodes
            elif job is not None and job.open is not None:
                self._changed.add(job.open.node)


_OF_ALL_NODES = (
    said.PolicyAdopted,
    said.PolicyReverted,
    said.NodeAdmitted,
    said.NodeDrained,
    said.NodeSlotsChanged,
    said.NodeCordoned,
    said.NodeUncordoned,
    said.NodeDeparted,
    said.NodeLost,
    said.ClusterDraining,
    said.ClusterReturned,
)
_OF_ATTEMPTS = (said.AttemptStarted, said.AttemptFailed, said.AttemptClosed, said.JobSucceeded)
