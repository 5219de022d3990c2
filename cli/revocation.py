"""`headrace policy revoke` and `unrevoke`: whose records change nothing any more, as an edit of the policy in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.connection import api
from cli.errors import CommandFailed, WrongUse
from contract.policy import Policy
from contract.policy_check import fault_of_revoked

Signer = Annotated[str, typer.Argument(metavar="SIGNER", help="operator.NAME or node.CLUSTER/NAME")]


def with_revoked(signer: str, own: str, data: Path) -> Policy:
    """The policy in force with this signer revoked. WrongUse when it cannot be, is, or is `own`."""
    fault = fault_of_revoked(signer)
    if fault:
        raise WrongUse(fault)
    if signer == own:
        raise WrongUse(
            f"expected another signer than your own, found {signer}: nobody would hear you again, not even to take it"
            " back; sign as another operator (`headrace keys derive operator.NAME`), or add --force"
        )
    policy = _in_force(data)
    if signer in policy.revoked:
        raise WrongUse(f"expected a signer that is not revoked, found {signer}: the policy in force revokes it")
    return msgspec.structs.replace(policy, revoked=tuple(sorted({*policy.revoked, signer})))


def without_revoked(signer: str, data: Path) -> Policy:
    """The policy in force with this signer not revoked. WrongUse when it is not."""
    policy = _in_force(data)
    if signer not in policy.revoked:
        there = ", ".join(policy.revoked) or "there is none"
        raise WrongUse(f"expected a signer that the policy in force revokes ({there}), found {signer[:200]!r}")
    return msgspec.structs.replace(policy, revoked=tuple(name for name in policy.revoked if name != signer))


def _in_force(data: Path) -> Policy:
    """The one policy in force. CommandFailed when pools have several, or none has one."""
    with api(data, operator=True) as client:
        found = client.get("/v1/policy")["policies"]
    if len({entry["fingerprint"] for entry in found}) != 1:
        raise CommandFailed(
            f"expected one policy in force in all pools, found {len({entry['fingerprint'] for entry in found})}:"
            " put the signer into `revoked` of the document, and `headrace policy apply` it"
        )
    try:
        return msgspec.convert(found[0]["policy"], Policy)
    except msgspec.ValidationError:
        raise CommandFailed(
            "expected a policy of this release, found one of another: use the `headrace` of the installation's release"
        ) from None
