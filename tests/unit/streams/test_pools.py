"""Which pool a partition belongs to, by the records of `jobs`: only a policy that can be put in force says so."""

from __future__ import annotations

import msgspec
import pytest

from contract.codec import encode
from contract.inputs import PolicyApplied
from contract.policy import Pool, Tier, fingerprint
from streams.ledger.pools import pool_named_by
from tests.unit.streams.memory_pool import POLICY


def test_a_policy_names_the_pool_of_each_of_its_partitions() -> None:
    value = encode(PolicyApplied(POLICY, fingerprint(POLICY)))
    assert [pool_named_by(value, partition) for partition in (0, 1, 2)] == ["main", "other", None]


@pytest.mark.parametrize(
    "refused",
    [
        PolicyApplied(msgspec.structs.replace(POLICY, tiers={"free": Tier(slo_ms=0)}), "f"),
        PolicyApplied(msgspec.structs.replace(POLICY, pools={"No Name": Pool(0)}), "f"),
        PolicyApplied(POLICY, "another's fingerprint"),
    ],
)
def test_a_policy_that_is_refused_names_none(refused: PolicyApplied) -> None:
    """Else the ledger would begin under a name that no policy in force has, for ever."""
    if refused.fingerprint == "f":
        refused = msgspec.structs.replace(refused, fingerprint=fingerprint(refused.policy))
    assert pool_named_by(encode(refused), 0) is None


@pytest.mark.parametrize("value", [None, b"", b"no JSON", b"{}", b"\xff"])
def test_what_is_no_policy_names_none(value: bytes | None) -> None:
    assert pool_named_by(value, 0) is None
