"""How a preparation ends before anything is stored: refused for what the user sent, or for nothing of his.

An outage of ours is never a refusal: the media are as they were, and the job rests and is prepared again.
"""

from __future__ import annotations

from contract.preparation_reports import MEDIA_REFUSALS

SENTENCE_CHARACTERS_MAX = 1_000
"""Of what a user reads in the end."""


class PreparationRefusal(Exception):
    """These media can never be prepared for this version. The message is one sentence for the user who named them."""

    def __init__(self, kind: str, sentence: str) -> None:
        """`kind`: of contract.preparation_reports.MEDIA_REFUSALS."""
        assert kind in MEDIA_REFUSALS, kind
        super().__init__(sentence[:SENTENCE_CHARACTERS_MAX])
        self.kind = kind


class PreparationOutage(Exception):
    """Something of ours is away for longer than a preparation waits. It says nothing of the media."""


class PreparationAbandoned(Exception):
    """Nobody wants the preparation any more, and nobody hears of its end."""


class PreparationTimeOver(Exception):
    """The time that the policy gives a preparation is over."""
