"""Both ends of the pipe mend words alike. (tests/fuzz offers the pipe anything.)"""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import bounds
from gpu_worker.child import run_model
from tests.properties.gpu_worker.frames import TEXTS, written


@settings(derandomize=True)
@given(st.text() | TEXTS)
def test_both_ends_mend_words_alike(words: str) -> None:
    mended = run_model.mended(words)
    assert mended == bounds.mended(words)
    assert msgspec.json.decode(written(mended)) == mended
