"""Who leads a pool, by which policy, and whether it starts jobs: the events about a whole pool in its ledger (see
contract.events)."""

from __future__ import annotations

import msgspec

from contract.policy import Policy


class Opened(msgspec.Struct, frozen=True, omit_defaults=True, tag="Opened.v1"):
    """A scheduler took the pool over. No input and no other event is in the same record."""

    session: str
    release: str
    rules: int
    """Number of the rules that decide (scheduling.RULES). It is raised whenever any decision could differ."""
    signed_from: int = -1
    """Offset in `jobs` from which the pool's host refuses a record that nobody has signed. Earlier records were written
    before this installation had keys. -1: the host asks for no signatures."""


class PolicyAdopted(msgspec.Struct, frozen=True, tag="PolicyAdopted.v1"):
    """This policy decides from now on."""

    policy: Policy
    fingerprint: str
    revert_below_permille: int = 0
    """Of the first `revert_jobs` jobs that start under this policy, at least this many in 1,000 must start within their
    SLO. Otherwise the policy before comes back (PolicyReverted). 0: no bound, the policy stays."""
    revert_jobs: int = 0
    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""


class PolicyReverted(msgspec.Struct, frozen=True, tag="PolicyReverted.v1"):
    """The policy in force missed its bound on attainment: the policy before it decides again."""

    policy: Policy
    """The policy that comes back."""
    fingerprint: str
    attainment_permille: int
    """Jobs in 1,000 that started within their SLO under the policy that goes."""
    jobs: int
    """Jobs that started under the policy that goes."""


class PoolHeld(msgspec.Struct, frozen=True, omit_defaults=True, tag="PoolHeld.v1"):
    """The pool accepts jobs and starts none: what is staged is called back, what runs goes on."""

    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""


class PoolReleased(msgspec.Struct, frozen=True, omit_defaults=True, tag="PoolReleased.v1"):
    """The pool starts jobs again."""

    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""
