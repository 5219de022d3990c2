"""Which release can decide the batches of which rules again: `verify` names it, because a release has one set of rules.

A row is added when scheduling.RULES is raised: for the number that was in force until then.
"""

from __future__ import annotations

RELEASES = {
    1: "commit ba1f0d4, before the first release,",
    2: "v0.1.0 (commit 57f0c7f)",
}
"""By number of rules: what to check out. The rules of today are not here: this release has them."""


def release_of(rules: int, wrote: str) -> str:
    """What can decide batches of these rules again; `wrote` is the release that wrote them, by its own word."""
    return RELEASES.get(rules) or (f"{wrote}, which wrote them," if wrote else "that is not known here")
