"""What a file of the corpus is, and what must happen to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from tests.media.corpus.clips import Ffmpeg

Make = Callable[[Ffmpeg], bytes]


class Outcome(StrEnum):
    PREPARED = "prepared"
    REFUSED = "refused"


class Stage(StrEnum):
    """Who finds it out."""

    HEADER = "our own reader of headers, before any decoder starts"
    DECODER = "the decoder's process, or the count of its frames"


@dataclass(frozen=True)
class Trick:
    name: str
    """Of the file, as the user calls it: the suffix may lie."""
    outcome: Outcome
    says: str
    """The gist: of the refusal's sentence; of a prepared file, the facts that must be recorded. Words between bars are
    such that one of them must stand in the sentence."""
    make: Make
    stage: Stage = Stage.HEADER
    kind: str = "video"
    """The format that the model's schema asks for."""
    needs_ffmpeg: bool = True
    slow: bool = False
    """Whether preparing it takes more than 2 s of one core by right."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """Of a prepared file: what its MediaFacts must say, by field."""


def refused(name: str, says: str, make: Make, **more: object) -> Trick:
    return Trick(name, Outcome.REFUSED, says, make, **more)  # type: ignore[arg-type]


def by_bytes(name: str, says: str, data: Callable[[], bytes], kind: str = "video") -> Trick:
    """A file that is refused, and that Python alone makes."""
    return Trick(name, Outcome.REFUSED, says, lambda _: data(), kind=kind, needs_ffmpeg=False)


def prepared(
    name: str,
    says: str,
    make: Make,
    kind: str = "video",
    slow: bool = False,
    facts: Mapping[str, object] = MappingProxyType({}),
) -> Trick:
    return Trick(name, Outcome.PREPARED, says, make, Stage.DECODER, kind, slow=slow, facts=facts)


def undecodable(name: str, says: str, make: Make, kind: str = "video") -> Trick:
    """A file whose headers are in order, and whose content is not."""
    return Trick(name, Outcome.REFUSED, says, make, Stage.DECODER, kind)
