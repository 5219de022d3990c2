"""A node that the scheduler keeps out says what to do, and ends unless a policy mends it."""

from __future__ import annotations

import pytest

from runtime.worker.node_agent import MENDED_BY_POLICY, REFUSALS

WHAT_TO_DO = {
    "no_token": "headrace nodes token --cluster CLUSTER --name NODE",
    "revoked": "headrace policy unrevoke node.CLUSTER/NODE",
    "not_confined": "trusted_models: true",
    "name_taken": "--node name",
    "bad_address": "HEADRACE_NODE_ADDRESS",
    "wrong_kind": "kind: prepare",
}


@pytest.mark.parametrize("reason", WHAT_TO_DO)
def test_it_says_what_to_do_and_ends(reason: str) -> None:
    said = REFUSALS[reason]
    assert said.startswith("expected ")
    assert WHAT_TO_DO[reason] in said
    assert reason not in MENDED_BY_POLICY, "whoever starts it again rests long"
