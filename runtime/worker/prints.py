"""The last of what a model printed during one attempt. Kept in memory, because the model could turn a file into a trap;
never in the agent's log, because prints may quote the user."""

from __future__ import annotations

KEPT_BYTES = 64 * 1024
"""How much goes into _log.txt, and into error.txt when a child dies without reporting a failure."""


class Prints:
    def __init__(self) -> None:
        self._kept = bytearray()
        self._bytes = 0
        """How much was printed in all."""

    def add(self, data: bytes) -> None:
        self._bytes += len(data)
        self._kept += data[-KEPT_BYTES:]
        if len(self._kept) > 2 * KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]

    def tail(self) -> str:
        """The last KEPT_BYTES as text, after a line that says how much came before; bytes that are not UTF-8 are
        replaced."""
        text = self._kept[-KEPT_BYTES:].decode("utf-8", "replace")
        dropped = self._bytes - KEPT_BYTES
        return f"[{dropped:,} bytes before these were not kept]\n{text}" if dropped > 0 else text
