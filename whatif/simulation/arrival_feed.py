"""Arrivals as they reach the simulated scheduler: each as a submission, after the version that its model names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from contract.inputs import Body, Submission, VersionPublished
from scheduling.state.pool import State
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.event_queue import NEVER

DIGEST = "sha256:" + "0" * 64
"""The payload's digest that every simulated submission claims."""


class ArrivalFeed:
    """Submits the arrivals one by one, and knows the number of each job that has arrived."""

    def __init__(
        self,
        arrivals: Arrivals,
        versions: Mapping[str, VersionPublished],
        state: State,
        say: Callable[[int, Body], None],
    ) -> None:
        """`versions` by the names that the arrivals have for them; `say` tells the scheduler something."""
        self.digests: list[str] = []
        """Digest of each model's version, by the model's number; only models that have arrived are there."""
        self._references: list[str] = []
        """`model@version` of the same models."""
        self._arrivals, self._versions, self._state, self._say = arrivals, versions, state, say
        self._next = 0
        """Number of the next arrival."""
        self._numbers: dict[str, int] = {}
        """Number of each job that has arrived, by the job's name, if the arrivals have names."""

    @property
    def next_ms(self) -> int:
        """When the next job arrives; NEVER when there is none."""
        at_ms = self._arrivals.at_ms
        return at_ms[self._next] if self._next < len(at_ms) else NEVER

    def take_over(self, at_ms: int) -> dict[str, int]:
        """The jobs and loaded versions of the state are the first arrivals and models. Returns the jobs' numbers."""
        for node in self._state.nodes.values():
            for version in node.loaded:
                self._arrivals.models.number(version)
        self._publish_models(len(self._arrivals.models), at_ms)
        self._next = len(self._state.jobs)
        self._numbers = {self._arrivals.jobs[number]: number for number in range(self._next)}
        return self._numbers

    def submit_next(self, at_ms: int) -> None:
        """The next job arrives. IndexError when there is none."""
        number, arrivals = self._next, self._arrivals
        self._next += 1
        model = arrivals.model[number]
        if model >= len(self._references):
            self._publish_models(model + 1, at_ms)
        if arrivals.jobs:
            job = arrivals.jobs[number]
            self._numbers[job] = number
        else:
            job = f"{self._state.pool}-{number:032x}"
        tenant, tier = arrivals.tenants[arrivals.tenant[number]], arrivals.tiers[arrivals.tier[number]]
        before_ms = arrivals.before_ms[number]
        submitted_ms = arrivals.at_ms[number] - before_ms if before_ms else 0
        reference = self._references[model]
        self._say(at_ms, Submission(job, tenant, tier, reference, DIGEST, "api", submitted_ms=submitted_ms))

    def _publish_models(self, count: int, at_ms: int) -> None:
        """Tells the scheduler of each version when the first job of the version arrives."""
        for name in self._arrivals.models.names[len(self._references) : count]:
            version = self._versions[name]
            if version.version not in self.digests and version.version not in self._state.versions:
                self._say(at_ms, version)
            self._references.append(f"{version.model}@{version.version}")
            self.digests.append(version.version)

    def number_of(self, job: str) -> int:
        """The number of a job that has arrived. KeyError for a named job that has not, or was forgotten."""
        return self._numbers[job] if self._arrivals.jobs else int(job[-32:], 16)

    def forget(self, job: str) -> int:
        """Forgets a named job that has ended, and returns its number. Nobody may ask for that number again."""
        return self._numbers.pop(job)
