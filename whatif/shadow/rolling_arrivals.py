"""Arrivals that may go on for ever: a job that is over is forgotten, so memory is that of the jobs that are not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from whatif.simulation.arrivals import Arrivals

V = TypeVar("V")


class SparseColumn(Generic[V]):
    """A column of which any value can be forgotten. Numbers are given out once, from 0 on."""

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
        """Of all that were given out, those forgotten too."""
        return self._next

    def forget(self, number: int) -> None:
        self._values.pop(number, None)

    @property
    def held(self) -> int:
        """Values that are not forgotten."""
        return len(self._values)


class UnsetColumn(SparseColumn[int]):
    """A column of -1 where nothing was put."""

    __slots__ = ()

    def __getitem__(self, number: int, /) -> int:
        return self._values.get(number, -1)


class RollingArrivals(Arrivals):
    """Arrivals of a ledger: they have their names."""

    def __init__(self) -> None:
        super().__init__()
        self._columns = [SparseColumn[int]() for _ in range(5)]
        self.at_ms, self.tier, self.tenant, self.model, self.service_ms = self._columns
        self._names = SparseColumn[str]()
        self.jobs = self._names

    def unset_column(self) -> UnsetColumn:
        column = UnsetColumn()
        self._columns.append(column)
        return column

    @property
    def held(self) -> int:
        """Jobs that are not forgotten."""
        return self._names.held

    def put(self, job: str, at_ms: int, tier: str, tenant: str, model: str, service_ms: int) -> None:
        """One more job."""
        self.add(at_ms, tier, tenant, model, service_ms)
        self.jobs.append(job)

    def forget(self, number: int) -> None:
        """The job is over: what these columns and those of `unset_column` have of it goes."""
        for column in self._columns:
            column.forget(number)
        self._names.forget(number)
