"""What a model leaves in its home while it computes is gone before the next attempt, which may be another tenant's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.gpu_worker.slot_bench import Bench, closing, values

LEAVING = """
import os, tempfile
from pathlib import Path

class Model:
    def load(self, *_):
        self.loaded = str(Path.home())

    def predict(self, inputs, ctx):
        places = [Path.home(), Path(os.environ["HOME"]), Path(tempfile.gettempdir())]
        found = sorted({path.name for place in places for path in place.iterdir()})
        for place in places:
            (place / "words").write_text("a red dragon")
            (place / ".cache").mkdir(exist_ok=True)
        return {"found": found, "home": str(places[0]), "loaded": self.loaded}
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from closing(Bench(tmp_path))


def test_an_attempt_finds_nothing_of_the_one_before_in_its_home(bench: Bench) -> None:
    (bench.directory / "code" / "model.py").write_text(LEAVING)
    first = values(bench.outcome("leave"))
    bench.scratch.clean_temporary(0)
    second = values(bench.outcome("leave"))
    assert first["found"] == second["found"] == []
    assert first["home"] not in (first["loaded"], str(Path.home()))
