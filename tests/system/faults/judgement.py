"""What the ledger and the list of stored objects must say after a run. Pure. AssertionError says what does not hold."""

from __future__ import annotations

import collections
from collections.abc import Collection, Sequence

from contract.results import EMPTY_MANIFEST, ERROR_NAME, LOG_NAME, MANIFEST_NAME, attempt_prefix
from contract.topics import JOBS
from tests.system.faults.ledger_facts import LedgerFacts
from tests.system.faults.timetable import GANGS, NODES

KEPT_NAMES = (ERROR_NAME, LOG_NAME)
"""What a sweep leaves of an attempt that failed, for the job's owner."""


class Struck:
    """What was done, as far as it may cost an attempt."""

    def __init__(self, done: Sequence[tuple[str, str]], slots: int) -> None:
        """`done`: (fault, target). `slots`: of each node."""
        self.children = sum(target == "child" for _, target in done)
        nodes = sum(target in NODES and fault != "cordoned" for fault, target in done)
        self.on_nodes = nodes * slots
        """A node that is killed, stands still, or has a namesake may lose what runs there."""


def require_ends(facts: LedgerFacts, acked: Sequence[str]) -> None:
    """Each acknowledged job has ended exactly once, as a success: no outage of ours dead-letters any. A job under which
    two nodes were lost, each alone, is quarantined by design: it may be what killed them."""
    assert len(set(acked)) == len(acked), "expected a job for each submission, found two submissions with one"
    twice = {job: ends for job, ends in facts.ends.items() if len(ends) > 1}
    assert not twice, f"expected each job to end once, found {twice}"
    losses = collections.Counter(event.job for event in facts.lost)
    suspects = {job for job, count in losses.items() if count >= 2 and facts.ends.get(job) == ["JobQuarantined"]}
    others = {job: facts.ends.get(job) for job in acked if facts.ends.get(job) != ["JobSucceeded"]}
    for job in suspects:
        others.pop(job, None)
    assert not others, f"expected each job to succeed, found {others}"


def require_failures(facts: LedgerFacts, struck: Struck) -> str:
    """No attempt failed by an outage of ours: what failed is what was killed or stood still. A figure for the note."""
    assert len(facts.lost) <= struck.on_nodes, (
        f"expected at most {struck.on_nodes} attempts lost with their nodes, found {len(facts.lost)}: {facts.lost[:5]}"
    )
    kinds = collections.Counter(
        (event.kind, facts.models[event.job] in GANGS) for event in facts.failed if event.kind != "child_died"
    )
    strange = {kind: count for (kind, is_gang), count in kinds.items() if kind != "model_error" or not is_gang}
    assert not strange, f"expected no attempt to fail but by a kill, found {strange}"
    most = struck.children + struck.on_nodes
    assert len(facts.failed) + len(facts.lost) <= most, (
        f"expected at most {most} attempts to fail by what was done, found {len(facts.failed)} failed and"
        f" {len(facts.lost)} lost"
    )
    return f"{len(facts.failed)} failed, {len(facts.lost)} lost"


def require_set_aside(facts: LedgerFacts, refused: set[tuple[str, int, int]]) -> None:
    """The ledger names each bad record of `jobs` exactly once."""
    found = {offset: facts.set_aside[offset] for topic, _, offset in refused if topic == JOBS}
    assert set(found.values()) <= {1}, f"expected the ledger to name each record once that was set aside, found {found}"


def require_objects(facts: LedgerFacts, swept: Collection[str]) -> None:
    """`swept`: what is in the store below results/ after a sweep. The results that count are there, and nothing else
    but the words of failed attempts for their owners."""
    wanted = {attempt_prefix(job, dispatch) for job, (dispatch, _) in facts.winners.items()}
    left = [key for key in swept if _prefix(key) not in wanted and key.rpartition("/")[2] not in KEPT_NAMES]
    assert not left, f"expected only results that count after a sweep, found {len(left)} others: {left[:3]}"
    with_manifest = {
        attempt_prefix(job, dispatch) + MANIFEST_NAME
        for job, (dispatch, manifest) in facts.winners.items()
        if manifest != EMPTY_MANIFEST
    }
    missing = sorted(with_manifest - set(swept))
    assert not missing, f"expected the manifest of each result that counts, found {len(missing)} missing: {missing[:3]}"


def _prefix(key: str) -> str:
    """results/<job>/<dispatch>/ of an object."""
    return "/".join(key.split("/")[:3]) + "/"
