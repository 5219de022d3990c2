"""Which release can decide the batches of which rules again. A release has one set of rules, so `verify` names another.

Whoever raises scheduling.RULES adds a row for the number that was in force until then.
"""

from __future__ import annotations

RELEASES = {
    1: "commit ba1f0d4, before the first release,",
    2: "v0.1.0 (commit 57f0c7f)",
    3: "commit 69272ad, between v0.1.0 and the next release,",
    4: "commit 74ed497, between v0.1.0 and the next release,",
    5: "commit a625010, between v0.1.0 and the next release,",
}
"""What to check out, by number of rules. Today's rules are not here: this release has them."""


def release_of(rules: int, wrote: str) -> str:
    """The release that can decide batches of these rules again. `wrote` is the release that wrote the batches, by its
    own word."""
    return RELEASES.get(rules) or (f"{wrote}, which wrote them," if wrote else "that is not known here")
