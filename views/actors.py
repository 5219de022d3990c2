"""Who asked for what happened, as people read it. The ledger names an actor as contract.inputs.actor_of makes it: a
signer, and after a colon for whom the signer spoke."""

from __future__ import annotations

from contract.signers import API, OPERATOR

YOU = "you"


def to_tenant(actor: str, key: str) -> str:
    """Who asked for what happened to a job, for the tenant who owns the job and asks with this key: `you`, another key
    of the tenant by its id, or `operator`, because operators' names are nobody's else. Only keys of the tenant itself
    can ask the API for anything about the job. Empty: nobody asked, or nobody was named."""
    signer, _, asked = actor.partition(":")
    if signer == API and asked:
        return YOU if asked == key else asked
    return OPERATOR if signer.partition(".")[0] == OPERATOR else ""


def to_operator(actor: str) -> str:
    """The actor for an operator: a person's name, `key_…` of a tenant, or a process that spoke for itself."""
    signer, _, asked = actor.partition(":")
    return asked or signer.removeprefix(f"{OPERATOR}.")
