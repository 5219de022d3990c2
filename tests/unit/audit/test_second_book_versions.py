"""What verify finds of withdrawn versions: jobs that ran them all the same, or were pinned or ended wrongly. And what a
story tells of them."""

from __future__ import annotations

import msgspec
import pytest

from audit.story import render, story
from audit.verify.second_book_versions import VersionBook
from audit.verify.verification import verify
from contract import events as said
from contract import inputs
from tests.unit.audit.ledger import POOL, VERSION, Ledger, job_of


class Judged:
    """A model with the versions v1, v2 and v3, and its alias `live` on v1; jobs that named the alias or the digest."""

    def __init__(self) -> None:
        self.wrong: list[tuple[str, str]] = []
        self.book = VersionBook(lambda invariant, text, job: self.wrong.append((invariant, job)))
        self.say(said.AliasPointed("m", "live", "v1", 1))
        self.accept("alias", "live")
        self.accept("digest", "")

    def say(self, *events: said.Event) -> list[tuple[str, str]]:
        for event in events:
            self.book.take(event)
        return self.wrong

    def accept(self, job: str, alias: str, version: str = "v1") -> None:
        self.say(said.JobAccepted(job, "acme", "free", "m", version, 0, 0, 0, "", "", alias=alias))

    def dispatch(self, job: str) -> list[tuple[str, str]]:
        return self.say(said.JobDispatched(job, 1, "d", "n1", "s", "east", 0, 1, "", 0, 0, 1, 1, "slots"))


def withdrawn(*, kill: bool = False) -> Judged:
    judged = Judged()
    judged.say(said.VersionWithdrawn("m", "v1", kill))
    return judged


def test_what_becomes_of_jobs_as_it_should() -> None:
    judged = Judged()
    judged.dispatch("alias")
    judged.say(said.VersionWithdrawn("m", "v1", kill=True), said.KillOrdered("alias", "d", "withdrawn"))
    judged.say(said.AliasPointed("m", "live", "v2", 2), said.JobCancelled("digest", "version_withdrawn"))
    judged.say(said.JobRepinned("alias", "v2"), said.VersionWithdrawn("m", "v3", kill=False))
    assert judged.dispatch("alias") == []


def test_a_withdrawn_version_that_is_accepted_dispatched_or_kept_slots_for() -> None:
    judged = withdrawn()
    judged.accept("new", "live")
    judged.say(said.GangReserved("digest", "east", ("n1", "n2")))
    assert judged.dispatch("alias") == [("I12", "new"), ("I12", "digest"), ("I12", "alias")]


@pytest.mark.parametrize(
    ("version", "job"),
    [("v3", "alias"), ("v2", "digest"), ("v1", "alias")],
    ids=["not the alias's", "who named the digest", "one that is withdrawn too"],
)
def test_jobs_pinned_anew_to_what_they_should_not_be(version: str, job: str) -> None:
    judged = withdrawn()
    if version != "v1":
        judged.say(said.AliasPointed("m", "live", "v2", 2))
    assert judged.say(said.JobRepinned(job, version)) == [("I12", job)]


def test_jobs_pinned_anew_ended_or_stopped_though_nothing_was_withdrawn() -> None:
    judged = Judged()
    judged.say(said.RecallOrdered("digest", "d", "withdrawn"), said.JobCancelled("digest", "version_withdrawn"))
    assert judged.say(said.JobRepinned("alias", "v1")) == [("I12", "digest"), ("I12", "digest"), ("I12", "alias")]


def test_who_named_the_alias_is_not_ended_and_who_may_finish_is_not_killed() -> None:
    judged = withdrawn()
    judged.say(said.KillOrdered("digest", "d", "withdrawn"), said.JobCancelled("alias", "version_withdrawn"))
    assert judged.wrong == [("I12", "digest"), ("I12", "alias")]


def test_a_withdrawal_that_says_nothing_new() -> None:
    judged = withdrawn(kill=True)
    assert judged.say(said.VersionWithdrawn("m", "v1", kill=False)) == [("I12", "")]


def test_a_story_says_what_the_withdrawal_did_to_the_job() -> None:
    """Job 1 named the alias, which has moved; job 2 named the digest."""
    ledger = Ledger()
    ledger.set_up()
    later = "sha256:" + "b" * 64
    ledger.decide(inputs.HoldRequested())
    ledger.submit(1)
    body = inputs.Submission(job_of(2), "acme", "free", f"film@{VERSION}", "sha256:" + "0" * 64, "api")
    ledger.decide(inputs.JobSubmitted(body, msgspec.Raw(b"{}"), "00" * 16))
    ledger.decide(
        inputs.VersionPublished("film", later, inputs.Requirements(("cpu",), 0), 60_000),
        inputs.AliasMoved("film", "live", later, 2),
        inputs.WithdrawRequested("film", VERSION),
    )
    first, second = (render(story(job_of(number), ledger.source)) for number in (1, 2))
    assert f"its version was withdrawn; it takes version {later[:19]}, which its alias has now" in first
    assert "It ended with its version, which was withdrawn, after 100 ms" in second
    assert verify(ledger.source, POOL).findings == []
