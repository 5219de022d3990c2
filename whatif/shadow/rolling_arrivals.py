"""Arrivals that may go on for ever: a job that is over is forgotten, so only jobs that are not over take memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from whatif.simulation.arrivals import Arrivals

V = TypeVar("V")


class SparseColumn(Generic[V]):
    """A column whose values can be forgotten. Each number, from 0 on, is given out once."""

    __slots__ = ("_next", "_values")

    def __init__(self) -> None:
        self._values: dict[int, V] = {}
        self._next = 0

    def append(self, value: V, /) -> None:
        self._values[self._next] = value
        self._next += 1

    def __getitem__(self, number: int, /) -> V:
        return self._values[number]

    def __setitem__(self, number: int, value: V, /) -> None:
        self._values[number] = value

    def __iter__(self) -> Iterator[V]:
        return iter(self._values.values())

    def __len__(self) -> int:
        """How many numbers were given out, including those of forgotten values."""
        return self._next

    def forget(self, number: int) -> None:
        self._values.pop(number, None)

    @property
    def held(self) -> int:
        """Values that are not forgotten."""
        return len(self._values)


class UnsetColumn(SparseColumn[int]):
    """A column with -1 wherever no value was set."""

    __slots__ = ()

    def __getitem__(self, number: int, /) -> int:
        return self._values.get(number, -1)


class RollingArrivals(Arrivals):
    """Arrivals from a ledger, with job ids."""

    def __init__(self) -> None:
        super().__init__()
        self._columns = [SparseColumn[int]() for _ in range(6)]
        self.at_ms, self.tier, self.tenant, self.model, self.service_ms, self.before_ms = self._columns
        self._names = SparseColumn[str]()
        self.jobs = self._names

    def unset_column(self) -> UnsetColumn:
        """A column with -1 for each job; `forget` forgets its values too."""
        column = UnsetColumn()
        self._columns.append(column)
        return column

    @property
    def held(self) -> int:
        """Jobs that are not forgotten."""
        return self._names.held

    def versions_of_jobs(self) -> dict[str, str]:
        """The version of each job, while none is forgotten."""
        return {job: self.models[self.model[number]] for number, job in enumerate(self.jobs)}

    def put(
        self,
        job: str,
        at_ms: int,
        tier: str,
        tenant: str,
        model: str,
        service_ms: int,
        before_ms: int = 0,
    ) -> None:
        """Adds a job. ValueError as in `add`."""
        self.add(at_ms, tier, tenant, model, service_ms, before_ms)
        self.jobs.append(job)

    def forget(self, number: int) -> None:
        """Forgets a job that is over, in these columns and in those of `unset_column`."""
        for column in self._columns:
            column.forget(number)
        self._names.forget(number)
