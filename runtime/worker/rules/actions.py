"""What the rules of every kind of node may answer. Each kind adds actions of its own."""

from __future__ import annotations

from dataclasses import dataclass

from contract.inputs import Report


@dataclass(frozen=True, slots=True)
class Say:
    """Report this, after everything that was said before."""

    report: Report


@dataclass(frozen=True, slots=True)
class ListVersions:
    """The scheduler does not know which versions are on this disk: have the next heartbeat list them."""


@dataclass(frozen=True, slots=True)
class JoinAgain:
    """The session is over: begin a new session."""


@dataclass(frozen=True, slots=True)
class StayOut:
    """The node may not join: say nothing more, and end, or wait before the next session."""

    reason: str
    """As in the order Refuse."""


@dataclass(frozen=True, slots=True)
class Announce:
    """The scheduler should hear of a change at once: send a heartbeat now."""
