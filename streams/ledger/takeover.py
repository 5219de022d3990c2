"""What a writer knows until it leads: where the ledger ended, whether its snapshot fits, how often it tried."""

from __future__ import annotations

from contract.batch import hash_of
from scheduling.decide import Clock
from scheduling.state.pool import State

OPEN_TRIES_MAX = 20
"""A newcomer gives up after it has lost the race for the pool so often: whoever wins each time is alive and leads."""


class Takeover:
    """How one writer takes its pool over."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.ledger_end: int | None = None
        """Where the ledger ended when the takeover began; None: the host has not said yet."""
        self.last_at_ms = 0
        """Append time of the ledger record that was read last."""
        self.tries = 0
        self._snapshot_head = state.head_hash if state.head_offset >= 0 else ""
        """Hash of the record that the snapshot follows, until that record was read again; empty: nothing to check."""

    @property
    def awaits_snapshot_head(self) -> bool:
        """The snapshot's own last record comes next, and is to be checked."""
        return bool(self._snapshot_head)

    def check_snapshot_head(self, offset: int, record: bytes) -> str:
        """The snapshot's own last record was read again. Empty when the record is the one that the snapshot follows,
        else what is wrong."""
        expected, self._snapshot_head = self._snapshot_head, ""
        found = hash_of(record)
        if found == expected:
            return ""
        return (
            f"the ledger's record {offset} is not the one the snapshot follows (expected {expected[:16]},"
            f" found {found[:16]}): the ledger was edited or replaced; run `headrace audit verify`"
        )

    def fault_at_end(self) -> str:
        """Empty when the ledger reaches the record that the snapshot follows, else what is wrong."""
        if not self._snapshot_head:
            return ""
        return (
            f"the ledger of pool {self._state.pool!r} ends at offset {self.ledger_end}, before record"
            f" {self._state.head_offset} which the snapshot follows: its tail was cut; run `headrace audit verify`"
        )

    def fault_without_keys(self, signed_from: int) -> str:
        """Empty unless the pool asks for signatures and this host, whose `signed_from` is -1 then, has no keys."""
        if signed_from >= 0 or self._state.signed_from < 0:
            return ""
        return (
            f"pool {self._state.pool!r} takes signed records only, from offset {self._state.signed_from} of `jobs` on;"
            " expected this scheduler to have the installation's key in HEADRACE_INSTALLATION_KEYS, found none"
        )

    def is_folded(self, next_offset: int) -> bool:
        """The ledger was read up to where it ended: Opened is to be appended."""
        return self.ledger_end is not None and next_offset >= self.ledger_end

    def clock(self) -> Clock:
        """The clock of the Opened to append now."""
        return Clock(
            epoch=self._state.epoch + 1,
            seq=self._state.seq + 1,
            now_ms=max(self._state.now_ms, self.last_at_ms),
            elapsed_ms=0,
            caught_up=False,
        )
