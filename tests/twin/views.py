"""The views' database in memory: the state that a projector has folded, and where it stands in each ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sqlalchemy.exc import OperationalError

from scheduling import snapshot
from scheduling.evolve import fold
from scheduling.state.pool import State, initial_state
from streams import projector
from views import projection


class Died(AssertionError):
    """The projector ended its process."""


class MemoryViews:
    """As a SQLAlchemy engine and connection, for the calls of streams.projector alone."""

    def __init__(self) -> None:
        self.away = False
        self.positions: dict[str, projection.Position] = {}
        self._states: dict[str, State] = {}

    def state_hash(self, pool: str) -> str:
        return snapshot.state_hash(self._states[pool])

    def forget(self, pool: str) -> None:
        """As if somebody had emptied the tables of this pool."""
        del self.positions[pool], self._states[pool]

    @contextmanager
    def installed(self) -> Iterator[MemoryViews]:
        """Inside, every projector folds into these views."""
        with (
            patch.object(projector, "engine", lambda _settings: self),
            patch.object(projector, "die", self._die),
            patch.object(projection, "position", lambda _connection, pool: self.positions.get(pool)),
            patch.object(projection, "apply_all", self._apply_all),
        ):
            yield self

    # -- as an engine and its connection

    @contextmanager
    def begin(self) -> Iterator[MemoryViews]:
        if self.away:
            raise OperationalError("", {}, ConnectionError("no database"))
        yield self

    def execute(self, _statement: object) -> None: ...

    def dispose(self) -> None: ...

    def _apply_all(
        self, _connection: object, pool: str, records: Sequence[projection.CountedRecord], *, carefully: bool = False
    ) -> projection.Applied:
        fresh = projection._following(pool, self.positions.get(pool), records)
        state = self._states.setdefault(pool, initial_state(pool))
        for record in fresh:
            fold(state, record.batch, record.hash, record.offset)
            batch = record.batch
            self.positions[pool] = projection.Position(record.offset, record.hash, batch.seq, batch.epoch)
        return projection.Applied(len(fresh), [])

    def _die(self, reason: str, **facts: Any) -> None:
        raise Died(f"{reason} {facts}")
