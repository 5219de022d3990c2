"""Jobs as they arrived, and how long each runs: what a simulation is given, from a ledger, from a trace, or made up.

Arrivals are kept in columns instead of one object a job, so a million of them fit a small machine. `tier`, `tenant` and
`model` are numbers into the tables of names beside them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

FOREVER_MS = 1 << 40
"""Run time of an attempt that is killed, or lost, before this time has passed: its end is never waited for."""

V = TypeVar("V")


class Arrival(NamedTuple):
    at_ms: int
    """When it comes to its line."""
    tier: str
    tenant: str
    model: str
    service_ms: int
    """How long the job runs once its version is loaded, on a machine of speed 1."""
    before_ms: int = 0
    """How long it had waited by then, while its media were prepared."""

    @property
    def submitted_ms(self) -> int:
        """From when its wait counts."""
        return self.at_ms - self.before_ms


class NameTable:
    """Names with numbers, in the order of their first use."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = list(names)
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def number(self, name: str) -> int:
        """The number of a name; a new name gets the next number."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.names)
            self.names.append(name)
        return number

    def __getitem__(self, number: int) -> str:
        return self.names[number]

    def __len__(self) -> int:
        return len(self.names)


class JobColumn(Protocol[V]):
    """A column: one value for each job, by the job's number."""

    def append(self, value: V, /) -> None: ...
    def __getitem__(self, number: int, /) -> V: ...
    def __setitem__(self, number: int, value: V, /) -> None: ...
    def __iter__(self) -> Iterator[V]: ...
    def __len__(self) -> int: ...


class Arrivals:
    """Jobs in the order of their arrival."""

    def __init__(self) -> None:
        self.at_ms: JobColumn[int] = array("q")
        self.tier: JobColumn[int] = array("I")
        self.tenant: JobColumn[int] = array("I")
        self.model: JobColumn[int] = array("I")
        self.service_ms: JobColumn[int] = array("q")
        self.before_ms: JobColumn[int] = array("q")
        self.tiers, self.tenants, self.models = NameTable(), NameTable(), NameTable()
        self.jobs: JobColumn[str] = []
        """Job ids, if they are known (from a ledger); else this is empty and the simulation makes ids."""
        self.last_ms = 0
        """When the last job arrived; 0: there is none."""

    def unset_column(self) -> JobColumn[int]:
        """A column with -1 for each job."""
        return array("q", [-1]) * len(self)

    def add(self, at_ms: int, tier: str, tenant: str, model: str, service_ms: int, before_ms: int = 0) -> None:
        """Adds a job. ValueError when it arrives before the last job, or its run time is negative."""
        if len(self) and at_ms < self.last_ms:
            raise ValueError(f"expected an arrival no earlier than {self.last_ms} ms, found {at_ms} ms; sort them")
        if service_ms < 0:
            raise ValueError(f"expected a run time of at least 0 ms, found {service_ms} ms")
        self.last_ms = at_ms
        self.at_ms.append(at_ms)
        self.tier.append(self.tiers.number(tier))
        self.tenant.append(self.tenants.number(tenant))
        self.model.append(self.models.number(model))
        self.service_ms.append(service_ms)
        self.before_ms.append(before_ms)

    def __len__(self) -> int:
        return len(self.at_ms)

    def __iter__(self) -> Iterator[Arrival]:
        for number in range(len(self)):
            yield self[number]

    def __getitem__(self, number: int) -> Arrival:
        return Arrival(
            self.at_ms[number],
            self.tiers[self.tier[number]],
            self.tenants[self.tenant[number]],
            self.models[self.model[number]],
            self.service_ms[number],
            self.before_ms[number],
        )

    @property
    def span_ms(self) -> int:
        """From the first arrival to the last."""
        return self.last_ms - self.at_ms[0] if self.at_ms else 0

    @property
    def work_ms(self) -> int:
        """The sum of all run times."""
        return sum(self.service_ms)
