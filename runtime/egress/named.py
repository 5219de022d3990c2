"""A URL that a user names, judged when it is named: by its text alone, before anybody looks its host up. Pure.

The guard judges again, and more, when it fetches: this check refuses early what could never be fetched."""

from __future__ import annotations

from runtime.egress.policy import EgressPolicy
from runtime.egress.refusal import no_public_host
from runtime.egress.url import egress_url


def check_named_url(text: str, policy: EgressPolicy) -> None:
    """EgressRefused, with a sentence that quotes nothing of the text."""
    url = egress_url(text, policy.schemes)
    if url.address is None:
        may_be = policy.may_let(url.scheme, url.port)
    else:
        may_be = policy.lets(url.address, url.scheme, url.port)
    if not may_be:
        raise no_public_host()
