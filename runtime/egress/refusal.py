"""Why the guard did not fetch: kinds from a fixed list, and sentences that tell nothing of our network.

A sentence holds no address, no host, no header and no text of the other side. What does not resolve, what resolves to a
private address and what has another port are one sentence, and so are all ways in which a connection fails: else
whoever may name a URL could draw a map of our network."""

from __future__ import annotations

from enum import StrEnum


class EgressTrouble(StrEnum):
    URL = "url"
    HOST = "host"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    RESOLVER = "resolver"
    """The machine's own resolver is away: an outage of ours, which says nothing of the URL."""
    CERTIFICATE = "certificate"
    ANSWER = "answer"
    REDIRECT = "redirect"
    STATUS = "status"
    TYPE = "type"
    ENCODING = "encoding"
    LENGTH = "length"
    SIZE = "size"
    SLOW = "slow"
    CUT_SHORT = "cut_short"


PASSING = frozenset(
    {
        EgressTrouble.BUSY,
        EgressTrouble.UNREACHABLE,
        EgressTrouble.RESOLVER,
        EgressTrouble.ANSWER,
        EgressTrouble.SLOW,
        EgressTrouble.CUT_SHORT,
    }
)
PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class EgressRefused(Exception):
    """The message is one sentence for the user who named the URL."""

    def __init__(self, trouble: EgressTrouble, sentence: str, *, status: int = 0) -> None:
        super().__init__(sentence)
        self.trouble = trouble
        self.status = status
        """What the server answered, when that is the trouble; else 0."""

    @property
    def is_passing(self) -> bool:
        """Whether asking again later may help."""
        return self.trouble in PASSING or self.status in PASSING_STATUS


class EgressCancelled(Exception):
    """Whoever asked wants the fetch no more. Nobody is told about it."""


def no_public_host() -> EgressRefused:
    return EgressRefused(
        EgressTrouble.HOST,
        "expected a host and port that can be reached from the public internet, found one that is not or that does not "
        "resolve; name a public server",
    )


def unreachable(trouble: EgressTrouble = EgressTrouble.UNREACHABLE) -> EgressRefused:
    return EgressRefused(trouble, "expected to connect to the server, found that it cannot be reached; try again later")
