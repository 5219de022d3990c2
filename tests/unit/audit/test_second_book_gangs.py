"""What verify finds of gangs: ranks left out, slots that are not there, and kept slots that others took."""

from __future__ import annotations

import msgspec

from audit.verify.second_book_gangs import GangBook
from audit.verify.second_book_nodes import KnownNode
from contract import events as said
from contract.inputs import Requirements


class Judged:
    """Nodes n1 to n3 of one slot each; versions `small` (which has run for 1 s) and `pair`."""

    def __init__(self) -> None:
        self.nodes = {name: KnownNode(f"{name}.s", "east", 1, 0) for name in ("n1", "n2", "n3")}
        self.wrong: list[tuple[str, str]] = []
        self.book = GangBook(self.nodes, lambda invariant, text, job: self.wrong.append((invariant, job)))
        self.now_ms = 0
        for version, ranks in (("small", 1), ("pair", 2)):
            self.say(said.VersionRegistered("m", version, Requirements(("cpu",), 0, ranks=ranks), 60_000))
        self.accept("old", "small")
        self.dispatch("old", "n3")
        self.say(said.AttemptStarted("old", "d"))
        self.now_ms += 1_000
        self.say(said.JobSucceeded("old", "d", ""))

    def say(self, event: said.Event) -> None:
        self.book.take(event, self.now_ms)

    def accept(self, job: str, version: str) -> None:
        self.say(said.JobAccepted(job, "acme", "free", "m", version, 0, 0, 0, "", ""))

    def dispatch(self, job: str, *nodes: str) -> None:
        event = said.JobDispatched(job, 1, "d", nodes[0], f"{nodes[0]}.s", "east", 0, 1, "", 0, 0, 1, 1, "slots")
        members = tuple(said.Member(name, f"{name}.s") for name in nodes[1:])
        self.say(msgspec.structs.replace(event, members=members))

    def reserve(self, job: str, *nodes: str, free_ms: int = 10_000) -> None:
        self.accept(job, "pair")
        self.say(said.GangReserved(job, "east", nodes, free_ms))


def test_a_gang_that_has_all_its_ranks_in_free_slots_is_right() -> None:
    judged = Judged()
    judged.reserve("gang", "n1", "n2")
    judged.dispatch("gang", "n1", "n2")
    assert judged.wrong == []


def test_a_gang_without_all_its_ranks_is_found() -> None:
    judged = Judged()
    judged.accept("gang", "pair")
    judged.dispatch("gang", "n1")
    assert judged.wrong == [("I6", "gang")]
    judged = Judged()
    judged.reserve("gang", "n1")
    assert judged.wrong == [("I6", "gang")]


def test_ranks_where_there_are_no_slots_are_found() -> None:
    judged = Judged()
    judged.accept("gang", "pair")
    judged.dispatch("gang", "n1", "n1")
    assert judged.wrong == [("I3", "gang")]
    judged = Judged()
    judged.nodes["n2"].cluster = "west"
    judged.accept("gang", "pair")
    judged.dispatch("gang", "n1", "n2")
    assert judged.wrong == [("I3", "gang")]


def test_a_second_reservation_in_a_cluster_is_found() -> None:
    judged = Judged()
    judged.reserve("gang", "n1", "n2")
    judged.reserve("other", "n2", "n3")
    assert judged.wrong == [("I11", "other")]


def test_a_release_of_what_is_not_kept_is_found() -> None:
    judged = Judged()
    judged.say(said.GangReleased("gang", "ended"))
    assert judged.wrong == [("I6", "gang")]


def test_back_fill_that_ends_in_time_is_right_and_what_does_not_is_found() -> None:
    judged = Judged()
    judged.reserve("gang", "n1", "n2", free_ms=judged.now_ms + 1_001)
    judged.accept("a", "small")
    judged.dispatch("a", "n1")
    assert judged.wrong == []
    judged.now_ms += 2
    judged.accept("b", "small")
    judged.dispatch("b", "n2")
    assert judged.wrong == [("I11", "b")]


def test_what_is_staged_behind_a_kept_slot_is_found() -> None:
    judged = Judged()
    judged.accept("a", "small")
    judged.dispatch("a", "n1")
    judged.reserve("gang", "n1", "n2", free_ms=judged.now_ms + 60_000)
    judged.accept("b", "small")
    judged.dispatch("b", "n1")
    assert judged.wrong == [("I11", "b")]


def test_what_stays_clear_of_kept_slots_is_right() -> None:
    judged = Judged()
    judged.nodes["n1"].usable = 3
    judged.reserve("gang", "n1", "n2")
    judged.accept("long", "long")
    judged.accept("more", "long")
    judged.dispatch("long", "n1")
    judged.dispatch("more", "n1")
    assert judged.wrong == []
