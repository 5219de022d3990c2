"""All tricks."""

from __future__ import annotations

from tests.media.corpus.drawn import DRAWN
from tests.media.corpus.lying_headers import LYING_HEADERS
from tests.media.corpus.scripts_and_archives import SCRIPTS_AND_ARCHIVES
from tests.media.corpus.stills_and_sounds import STILLS_AND_SOUNDS

TRICKS = (*SCRIPTS_AND_ARCHIVES, *LYING_HEADERS, *DRAWN, *STILLS_AND_SOUNDS)
assert len({trick.name for trick in TRICKS}) == len(TRICKS), "one file a trick"
