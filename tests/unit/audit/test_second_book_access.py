"""What verify finds where somebody did what the policy does not let them do, or is named for what they did not ask.

The life is made by the production code, all of it signed. Then one event of a record, or one input, is another, as a
scheduler without the rule would have written it, and the second book alone judges the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from audit.ledger.reader import LedgerRecord
from audit.story import story
from audit.verify.second_book import SecondBook
from contract import events as said
from contract.batch import Batch
from contract.codec import encode
from contract.inputs import (
    AliasMoved,
    Body,
    CancelRequested,
    EraseRequested,
    ErasureCompleted,
    HoldRequested,
    NodeCordonRequested,
    NodeHeartbeat,
    NodeJoined,
    NodeReport,
    PolicyApplied,
    ReleaseRequested,
    Started,
    VersionPublished,
)
from contract.policy import Policy, fingerprint
from contract.signers import node_signer, operator_signer
from tests.unit.scheduling.specification import (
    CPU,
    MANIFEST,
    POLICY,
    START_MS,
    Pool,
    a_job,
    a_join,
    submission,
    version_of,
)

API, RELAY, ADA, BOB = "api", "relay", operator_signer("ada"), operator_signer("bob")
N1, N2 = node_signer("east", "n1"), node_signer("east", "n2")
V1 = version_of("shapes/v1")
TOKENS = msgspec.structs.replace(POLICY, join_tokens=True)
REVOKING = msgspec.structs.replace(TOKENS, revoked=(N1, BOB), trusted_models=True, gang_network=False)
ENDS = msgspec.structs.replace(TOKENS, failures_max=2)


def applied(policy: Policy, below_permille: int = 0, jobs: int = 0) -> PolicyApplied:
    return PolicyApplied(policy, fingerprint(policy), below_permille, jobs, START_MS + 3_600_000)


def life() -> Pool:
    """n1 joins by a token, runs a job and is revoked, with bob; n2 lacks layers, is trusted, takes the job over, and is
    trusted no longer; one job is cancelled while it waits and one while it runs."""
    pool = Pool(None, check=False)
    pool.take_over(signed_from=0)
    told(pool, ADA, applied(TOKENS))
    told(pool, RELAY, VersionPublished("shapes", V1, CPU, 60_000), AliasMoved("shapes", "live", V1, 1, by="eve"))
    first = a_join("n1", identity="1" * 32, address="n1:29500")
    second = a_join("n2", identity="2" * 32, layers_missing=("files",))
    told(pool, N1, first)
    told(pool, N1, msgspec.structs.replace(first, session="s2"), token=True)
    told(pool, API, submission(1))
    told(pool, API, submission(2), submission(3), after_ms=1)
    told(pool, N1, NodeReport("n1", "s2", (Started(a_job(1), pool.dispatch(a_job(1))),)))
    told(pool, API, CancelRequested(a_job(3), "acme", by="key7"))
    told(pool, BOB, HoldRequested(), ReleaseRequested(), NodeCordonRequested("n1"))
    told(pool, ADA, applied(REVOKING), after_ms=1_000)
    told(pool, N1, NodeHeartbeat("n1", "s2"), msgspec.structs.replace(first, session="s3"))
    told(pool, BOB, HoldRequested())
    told(pool, N2, second, token=True)
    told(pool, N2, NodeReport("n2", "s1", (Started(a_job(1), pool.dispatch(a_job(1))),)))
    told(pool, API, EraseRequested(a_job(1), "acme", by="key7"))
    told(pool, ADA, applied(TOKENS))
    pool.signer = N2
    pool.stop(a_job(1), "killed", "n2", "s1")
    told(pool, ADA, ErasureCompleted(a_job(1), (), 0), applied(ENDS, 900, 9))
    return pool


def told(pool: Pool, signer: str, *bodies: Body, token: bool = False, after_ms: int = 0) -> None:
    pool.signer, pool.token_until_ms = signer, pool.now_ms + after_ms if token else 0
    pool.tell(*bodies, after_ms=after_ms)


def found(batches: list[Batch]) -> list[tuple[str, str]]:
    """What the second book says, each thing once."""
    book = SecondBook()
    findings = [finding for offset, batch in enumerate(batches) for finding in book.take(offset, batch)]
    return list(dict.fromkeys((finding.invariant, finding.text) for finding in findings))


def where(pool: Pool, is_meant: Callable[[Any], bool]) -> tuple[int, int]:
    """The record and place of the first event that is meant."""
    for number, batch in enumerate(pool.batches):
        for place, event in enumerate(batch.events):
            if is_meant(event):
                return number, place
    raise AssertionError("expected an event that is meant, found none")


def with_events(pool: Pool, number: int, events: tuple[Any, ...]) -> None:
    pool.batches[number] = msgspec.structs.replace(pool.batches[number], events=events)


def other(pool: Pool, kind: type, nth: int = 0, **changes: Any) -> None:
    """An event of this kind is another."""
    all_of = [event for batch in pool.batches for event in batch.events if isinstance(event, kind)]
    number, place = where(pool, lambda event: event is all_of[nth])
    events = list(pool.batches[number].events)
    events[place] = msgspec.structs.replace(events[place], **changes)
    with_events(pool, number, tuple(events))


def added(pool: Pool, after: type, nth: int, *events: Any) -> None:
    """These events follow an event of this kind."""
    all_of = [event for batch in pool.batches for event in batch.events if isinstance(event, after)]
    number, place = where(pool, lambda event: event is all_of[nth])
    before = pool.batches[number].events
    with_events(pool, number, (*before[: place + 1], *events, *before[place + 1 :]))


def replaced(pool: Pool, kind: type, nth: int, event: Any) -> None:
    all_of = [event for batch in pool.batches for event in batch.events if isinstance(event, kind)]
    number, place = where(pool, lambda one: one is all_of[nth])
    events = list(pool.batches[number].events)
    events[place] = event
    with_events(pool, number, tuple(events))


def joined_otherwise(pool: Pool, nth: int, **changes: Any) -> None:
    """A join is another."""
    all_of = [given for batch in pool.batches for given in batch.inputs if isinstance(given.body, NodeJoined)]
    for number, batch in enumerate(pool.batches):
        inputs = tuple(msgspec.structs.replace(g, **changes) if g is all_of[nth] else g for g in batch.inputs)
        pool.batches[number] = msgspec.structs.replace(batch, inputs=inputs)


def dispatched(pool: Pool, nth: int) -> said.JobDispatched:
    found = [event for batch in pool.batches for event in batch.events if isinstance(event, said.JobDispatched)]
    return found[nth]


def dispatch_of(pool: Pool, nth: int) -> str:
    return dispatched(pool, nth).dispatch


def applied_otherwise(pool: Pool, nth: int, **changes: Any) -> None:
    """A policy was applied in another way."""
    all_of = [given for batch in pool.batches for given in batch.inputs if isinstance(given.body, PolicyApplied)]
    for number, batch in enumerate(pool.batches):
        inputs = tuple(
            msgspec.structs.replace(g, body=msgspec.structs.replace(g.body, **changes)) if g is all_of[nth] else g
            for g in batch.inputs
        )
        pool.batches[number] = msgspec.structs.replace(batch, inputs=inputs)


ADMITTED = 1
"""Of the two admissions, that of n2."""
OF_N2 = a_join("n2", identity="2" * 32, layers_missing=("files",))

FAULTS: dict[str, tuple[Callable[[Pool], None], tuple[str, str]]] = {
    "an actor who asked for nothing": (
        lambda pool: other(pool, said.PoolHeld, actor=ADA),
        ("I10", f"PoolHeld names {ADA} as actor, who did not ask for it"),
    ),
    "no actor, though somebody signed": (
        lambda pool: other(pool, said.AliasPointed, actor=""),
        ("I10", "AliasPointed names nobody as actor, who did not ask for it"),
    ),
    "an actor without the one for whom the signer spoke": (
        lambda pool: other(pool, said.JobCancelled, actor=API),
        ("I10", "JobCancelled names api as actor, who did not ask for it"),
    ),
    "an actor of what the rules say by themselves": (
        lambda pool: other(pool, said.JobCancelled, 1, actor=API),
        ("I10", "JobCancelled names api as actor, and nobody asked for it"),
    ),
    "an erasure that nobody asked for": (
        lambda pool: other(pool, said.ErasureOrdered, job=a_job(9)),
        ("I10", "ErasureOrdered, and nobody asked for it in this batch"),
    ),
    "an erasure that nobody completed": (
        lambda pool: other(pool, said.JobErased, job=a_job(9)),
        ("I10", "JobErased, and nobody asked for it in this batch"),
    ),
    "a cordon that nobody asked for": (
        lambda pool: other(pool, said.NodeCordoned, node="n2"),
        ("I10", "NodeCordoned, and nobody asked for it in this batch"),
    ),
    "what a revoked operator asked is done": (
        lambda pool: replaced(pool, said.InputQuarantined, 0, said.PoolHeld(BOB)),
        ("I10", f"PoolHeld, asked for by {BOB}, which is revoked"),
    ),
    "a revoked node counts as heard": (
        lambda pool: added(pool, said.PolicyAdopted, 1, said.NodeHeard("n1", "s2")),
        ("I10", "NodeHeard by the word of n1, which is revoked"),
    ),
    "a revoked node counts as heard though it was put out": (
        lambda pool: replaced(pool, said.ReportStale, 0, said.NodeHeard("n1", "s2")),
        ("I10", "NodeHeard by the word of n1, which is revoked"),
    ),
    "a revoked node drains": (
        lambda pool: added(pool, said.PolicyAdopted, 1, said.NodeDrained("n1", "s2")),
        ("I10", "NodeDrained by the word of n1, which is revoked"),
    ),
    "a revoked node succeeds": (
        lambda pool: replaced(pool, said.AttemptClosed, 0, said.JobSucceeded(a_job(1), dispatch_of(pool, 0), MANIFEST)),
        ("I10", "JobSucceeded by the word of n1, which is revoked"),
    ),
    "a revoked node gives back what it has": (
        lambda pool: other(pool, said.AttemptClosed, reason="drained"),
        ("I10", "AttemptClosed (drained) by the word of n1, which is revoked"),
    ),
    "a revoked node gets work": (
        lambda pool: added(pool, said.PolicyAdopted, 1, dispatched(pool, 0)),
        ("I3", "sent to n1, which is revoked"),
    ),
    "a node without all layers gets work when models are trusted no longer": (
        lambda pool: added(pool, said.PolicyAdopted, 2, dispatched(pool, 2)),
        ("I3", "sent to n2, which lacks layers, and models are not trusted"),
    ),
    "a revoked node is admitted": (
        lambda pool: replaced(pool, said.NodeRefused, 1, said.NodeAdmitted("n1", "s3", "east", "cpu", 1, 0, 1, ())),
        ("I16", "n1 is admitted, and its signature is revoked"),
    ),
    "a node that is not revoked is refused as if it were": (
        lambda pool: other(pool, said.NodeRefused, reason="revoked"),
        ("I16", "n1 is refused as revoked, which it is not"),
    ),
    "a new machine is admitted without a token": (
        lambda pool: joined_otherwise(pool, 1, token_until_ms=0),
        ("I16", "n1 is admitted, and is new and has no token that is good for it"),
    ),
    "a new machine is admitted by a token that had ended": (
        lambda pool: joined_otherwise(pool, 1, token_until_ms=pool.batches[2].now_ms - 1),
        ("I16", "n1 is admitted, and is new and has no token that is good for it"),
    ),
    "a machine with a token is refused as if it had none": (
        lambda pool: joined_otherwise(pool, 0, token_until_ms=pool.now_ms),
        ("I16", "n1 is refused as no_token, which it is not"),
    ),
    "a node without all layers is admitted where models are not trusted": (
        lambda pool: joined_otherwise(pool, 1, body=msgspec.structs.replace(OF_N2, node="n1", session="s2")),
        ("I16", "n1 is admitted, and lacks layers, and models are not trusted"),
    ),
    "a node is admitted with other layers than it said": (
        lambda pool: other(pool, said.NodeAdmitted, ADMITTED, layers_missing=()),
        ("I16", "n2 is admitted with other layers than it said"),
    ),
    "a node is admitted that did not join": (
        lambda pool: other(pool, said.NodeAdmitted, ADMITTED, session="s9"),
        ("I16", "n2 is admitted, and did not join in this batch"),
    ),
    "a gang lies on several nodes though it has no network": (
        lambda pool: other(pool, said.JobDispatched, 2, members=(said.Member("n3", "s1"),)),
        ("I3", "sent to 2 nodes, and gangs have no network"),
    ),
    "a node drains for layers that it has": (
        lambda pool: added(pool, said.PoolHeld, 0, said.NodeDrained("n1", "s2", "not_confined")),
        ("I16", "n1 drains for its layers, and needs none"),
    ),
    "an attempt is closed for a revocation that nobody made": (
        lambda pool: told_revoked(pool, revoked=(BOB,)),
        ("I10", "its attempt is closed because n1 is revoked, which it is not"),
    ),
    "an old policy changes who may do what": (
        lambda pool: applied_otherwise(pool, 1, until_ms=0),
        ("I10", "a policy that was made long ago changes trusted_models"),
    ),
    "a trial changes who may do what": (
        lambda pool: other(pool, said.PolicyAdopted, 1, revert_jobs=9),
        ("I10", "a trial changes trusted_models, which no reversal may give back"),
    ),
    "a reversal changes who may do what": (
        lambda pool: added(pool, said.JobErased, 0, said.PolicyReverted(REVOKING, fingerprint(REVOKING), 0, 1)),
        ("I10", "a trial changes revoked, which no reversal may give back"),
    ),
}


def told_revoked(pool: Pool, **changes: Any) -> None:
    policy = msgspec.structs.replace(REVOKING, **changes)
    other(pool, said.PolicyAdopted, 1, policy=policy)


def test_a_life_of_signed_inputs_is_right() -> None:
    assert found(life().batches) == []


@pytest.mark.parametrize("name", FAULTS)
def test_what_the_policy_does_not_let_anybody_do_is_found(name: str) -> None:
    pool = life()
    breaks, finding = FAULTS[name]
    breaks(pool)
    assert finding in found(pool.batches)


@pytest.mark.parametrize("name", FAULTS)
def test_schedulers_of_earlier_rules_had_none_of_it(name: str) -> None:
    pool = life()
    FAULTS[name][0](pool)
    for number in range(len(pool.batches)):
        if isinstance(pool.batches[number].events[0], said.Opened):
            opened = pool.batches[number].events[0]
            with_events(pool, number, (msgspec.structs.replace(opened, rules=4),))
    assert FAULTS[name][1] not in found(pool.batches)


# -- who a story names ---------------------------------------------------------------------------------------------


def told_of(pool: Pool, number: int) -> list[str]:
    """What the story of a job says of who asked."""
    records = [LedgerRecord(offset, batch.now_ms, encode(batch)) for offset, batch in enumerate(pool.batches)]
    chapters = story(a_job(number), lambda: iter(records)).chapters
    return [f"{c.event}: {c.sentence.partition('by order of ')[2]}" for c in chapters if "by order of" in c.sentence]


def test_a_story_names_the_actors() -> None:
    pool = life()
    assert told_of(pool, 3) == ["JobCancelled: api:key7)"]
    assert told_of(pool, 1) == [
        "JobCancelling: api:key7)",
        "KillOrdered: api:key7)",
        "ErasureOrdered: api:key7)",
        f"JobErased: {ADA})",
    ]


def test_a_story_names_whose_request_came_first() -> None:
    pool = Pool(check=False)
    pool.publish()
    told(pool, ADA, submission(3))
    told(pool, API, CancelRequested(a_job(3), "acme", by="key7"), CancelRequested(a_job(3), "acme", by="key8"))
    assert told_of(pool, 3) == ["JobCancelled: api:key7)"]


def test_a_story_of_earlier_rules_names_whoever_signed_the_request() -> None:
    pool = Pool(check=False)
    pool.publish()
    told(pool, API, submission(3), CancelRequested(a_job(3), "acme"))
    other(pool, said.JobCancelled, actor="")
    assert told_of(pool, 3) == ["JobCancelled: api)"]
