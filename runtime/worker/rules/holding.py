"""Why a node takes nothing new: what waits for a server or a disk of ours, and how many bytes of results wait.

Pure. Results that cannot be stored stay on the node's disk, and their values in memory. When they have filled their
budget nothing new starts: the slots are held, and no result is dropped. What runs meanwhile still ends, so at most what
the slots leave then comes on top of the budget (OUTPUT_BYTES_MAX an attempt).
"""

from __future__ import annotations

GIB = 2**30

RESULT_BYTES_MAX = 32 * GIB
"""Of outputs that wait for the store. Two films of the largest size that one attempt may leave, and room for more."""
VALUE_BYTES_MAX = GIB // 4
"""Of values and inputs that wait for the store in memory: 32 attempts of the largest."""
DISK_RESERVE_BYTES = GIB // 8
"""Nothing starts on a disk with less room than this."""


class Holding:
    """For the agent's main thread."""

    def __init__(self, result_bytes_max: int = RESULT_BYTES_MAX, value_bytes_max: int = VALUE_BYTES_MAX) -> None:
        self._result_bytes_max, self._value_bytes_max = result_bytes_max, value_bytes_max
        self._results: dict[str, tuple[int, int]] = {}
        """By dispatch: bytes on disk and in memory that are to be stored."""
        self._waits: dict[str, str] = {}
        """By what waits: for what, one of contract.inputs.HOLDING."""
        self.is_disk_full = False

    def keep(self, dispatch: str, on_disk: int, in_memory: int) -> None:
        """The attempt's result is to be stored, and takes so much until then."""
        self._results[dispatch] = (on_disk, in_memory)

    def keep_less(self, dispatch: str, on_disk: int) -> None:
        """Of the attempt's result, so much is left on disk. Its memory is the same."""
        if dispatch in self._results:
            self._results[dispatch] = (on_disk, self._results[dispatch][1])

    def let_go(self, dispatch: str) -> None:
        """The attempt's result is stored, or nobody wants it."""
        self._results.pop(dispatch, None)

    def note_wait(self, what: str, cause: str) -> None:
        """`what` cannot be fetched or stored now. Empty `cause`: it waits no more."""
        if cause:
            self._waits[what] = cause
        else:
            self._waits.pop(what, None)

    @property
    def may_start(self) -> bool:
        """Whether an attempt may start: there is room for what it will leave."""
        return not self.is_disk_full and not self._is_budget_spent()

    @property
    def reason(self) -> str:
        """One of contract.inputs.HOLDING; empty: the node takes what it is given. What stops all starts comes first."""
        if self.is_disk_full:
            return "disk"
        if self._is_budget_spent():
            return "bytes"
        return min(self._waits.values(), default="")

    def _is_budget_spent(self) -> bool:
        on_disk = sum(disk for disk, _ in self._results.values())
        in_memory = sum(memory for _, memory in self._results.values())
        return on_disk >= self._result_bytes_max or in_memory >= self._value_bytes_max
