"""What may be run: the events about versions and aliases in a pool's ledger (see contract.events)."""

from __future__ import annotations

import msgspec

from contract.inputs import Requirements


class VersionRegistered(msgspec.Struct, frozen=True, omit_defaults=True, tag="VersionRegistered.v1"):
    """The version may be run. See VersionPublished."""

    model: str
    version: str
    requirements: Requirements
    timeout_ms: int
    prepares: str = ""


class AliasPointed(msgspec.Struct, frozen=True, omit_defaults=True, tag="AliasPointed.v1"):
    """Jobs accepted from now on under this alias run this version. Jobs accepted before keep their version."""

    model: str
    alias: str
    version: str
    move: int
    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""


class VersionWithdrawn(msgspec.Struct, frozen=True, omit_defaults=True, tag="VersionWithdrawn.v1"):
    """No attempt of the version starts any more, and no submission of it is accepted. Jobs that wait and named an alias
    are pinned anew (JobRepinned), those that named the digest end (JobCancelled, version_withdrawn)."""

    model: str
    version: str
    kill: bool
    """True: its running attempts are stopped, and their jobs treated like those that wait. False: they may finish."""
    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""
