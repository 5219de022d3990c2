"""The topics beside `jobs` and `ledger`: what outsiders submit, what nodes say of progress, what was set aside."""

from __future__ import annotations

import msgspec


class SubmissionRequested(msgspec.Struct, frozen=True, tag="SubmissionRequested.v1", forbid_unknown_fields=True):
    """A record of `submissions`, the public door for Kafka producers (untrusted). Key = tenant.

    Its identity is CloudEvents `ce_source` and `ce_id` in the headers, both required: the same pair again is the
    same job, until the policy's `submission_age_max` (3 days unless it says otherwise) after it has ended; after that
    it is a new one. A record older than that when it is read is never run: it goes to `quarantine`. Writers: upstream
    products.
    """

    tenant: str
    tier: str
    model: str
    inputs: msgspec.Raw
    expires_ms: int = 0


class AttemptProgressed(msgspec.Struct, frozen=True, tag="AttemptProgressed.v1"):
    """A record of `progress`, key = job. Decides nothing. Writer: node agent."""

    job: str
    dispatch: str
    fraction: float
    """0 to 1."""
    message: str
    """The model's words, at most 200 characters; may quote the user, so short retention and never a log."""


class Quarantined(msgspec.Struct, frozen=True, tag="Quarantined.v1"):
    """A record of `quarantine`: what could not be acted on. Writers: intake, scheduler."""

    topic: str
    partition: int
    offset: int
    reason: str
    """What was expected and what was found, in our words."""
    value_base64: str
    """The record's bytes: as many of the first ones as fit bounds.REFUSAL_BYTES_MAX."""
    value_bytes: int = 0
    """How many there were."""
