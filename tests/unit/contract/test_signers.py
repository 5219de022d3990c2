"""Who may say what: every record of `jobs` against every role."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from contract import inputs
from contract.inputs import Requirements, Wire
from contract.policy import Policy
from contract.signers import (
    MAY_SAY,
    OF_ANOTHER_DOOR,
    OF_ANOTHER_NODE,
    OF_ANOTHER_ROLE,
    WITHOUT_TENANT,
    is_signer,
    node_signer,
    operator_signer,
    refusal_of,
    refusal_of_tombstone,
    role_of,
)

NODE = node_signer("east", "n1")
SIGNERS = ("api", "intake", "relay", "courier", operator_signer("ada"), NODE)
SUBMISSION = inputs.Submission("main-" + "0" * 32, "acme", "free", "noop", "sha256:0", "api")
SAID: dict[str, inputs.Body] = {
    "JobSubmitted": SUBMISSION,
    "CancelRequested": inputs.CancelRequested("main-1", "acme"),
    "EraseRequested": inputs.EraseRequested("main-1", "acme"),
    "ErasureCompleted": inputs.ErasureCompleted("main-1", (), 0),
    "NodeJoined": inputs.NodeJoined("n1", "s", "east", "cpu", 1, 0, 0),
    "NodeHeartbeat": inputs.NodeHeartbeat("n1", "s"),
    "NodeLeft": inputs.NodeLeft("n1", "s"),
    "NodeReport": inputs.NodeReport("n1", "s", ()),
    "VersionPublished": inputs.VersionPublished("noop", "sha256:0", Requirements((), 0), 1),
    "AliasMoved": inputs.AliasMoved("noop", "live", "sha256:0", 1),
    "PolicyApplied": inputs.PolicyApplied(Policy({}, {}, {}), ""),
    "ClusterDrainRequested": inputs.ClusterDrainRequested("east", 0),
    "ClusterActivated": inputs.ClusterActivated("east"),
}
WRITERS = {
    "JobSubmitted": {"api"},  # this one came through the API's door; intake's has a test of its own
    "CancelRequested": {"api", "operator"},
    "EraseRequested": {"api", "operator"},
    "NodeJoined": {"node"},
    "NodeHeartbeat": {"node"},
    "NodeLeft": {"node"},
    "NodeReport": {"node"},
    "VersionPublished": {"relay"},
    "AliasMoved": {"relay"},
}
"""By record; operators alone write the others."""


def test_each_record_is_taken_from_its_writers_and_from_nobody_else() -> None:
    for name, body in SAID.items():
        taken = {role_of(signer) for signer in SIGNERS if not refusal_of(signer, body)}
        assert taken == WRITERS.get(name, {"operator"}), name


def test_every_record_of_jobs_has_a_writer() -> None:
    for kind in get_args(Wire):
        body: type = inputs.Submission if kind is inputs.JobSubmitted else kind
        assert MAY_SAY.get(body, ("operator",)), kind
    assert set(MAY_SAY) <= set(get_args(inputs.Body)), "every row is about something that `judge` reads"
    assert {kind.__name__ for kind in MAY_SAY} >= {"Submission", *WRITERS} - {"JobSubmitted"}


def test_a_node_speaks_of_itself() -> None:
    for name in ("NodeJoined", "NodeHeartbeat", "NodeLeft", "NodeReport"):
        body: Any = SAID[name]
        assert refusal_of(node_signer("east", "n2"), body) == OF_ANOTHER_NODE
        assert refusal_of(NODE, msgspec.structs.replace(body, node="n2")) == OF_ANOTHER_NODE
    assert refusal_of(node_signer("west", "n1"), SAID["NodeJoined"]) == OF_ANOTHER_NODE


def test_two_nodes_whose_names_have_dots_are_two_signers() -> None:
    assert node_signer("a.b", "c") != node_signer("a", "b.c")
    assert refusal_of(node_signer("a", "b.c"), inputs.NodeHeartbeat("c", "s")) == OF_ANOTHER_NODE


def test_the_api_names_the_tenant_who_asks() -> None:
    assert refusal_of("api", inputs.CancelRequested("main-1", "")) == WITHOUT_TENANT
    assert refusal_of("api", inputs.EraseRequested("main-1")) == WITHOUT_TENANT
    assert refusal_of(operator_signer("ada"), inputs.EraseRequested("main-1")) == ""


def test_a_submission_comes_through_the_door_of_its_signer() -> None:
    over_kafka = msgspec.structs.replace(SUBMISSION, via="kafka")
    assert refusal_of("intake", over_kafka) == refusal_of("api", SUBMISSION) == ""
    assert refusal_of("intake", SUBMISSION) == refusal_of("api", over_kafka) == OF_ANOTHER_DOOR


def test_operators_alone_bury_records() -> None:
    buriers = [signer for signer in SIGNERS if not refusal_of_tombstone(signer)]
    assert buriers == [operator_signer("ada")]
    assert refusal_of_tombstone(NODE).startswith(OF_ANOTHER_ROLE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Api",
        "api.x",
        "operator",
        "operator.",
        "operator.A",
        "node.east",
        "node.east/",
        "node./n1",
        "node.a/b/c",
        "x",
    ],
)
def test_what_names_no_signer(text: str) -> None:
    assert not is_signer(text)
    with pytest.raises(ValueError, match="expected a signer like"):
        role_of(text)


def test_what_names_one() -> None:
    assert all(map(is_signer, SIGNERS))
