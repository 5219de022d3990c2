"""Whatever a child leaves in its folders: each attempt is stored, or refused with a name for the reason, and nothing
else.

Nothing that a child leaves may make the agent wait. What the agent does in its own thread is done here in a thread with
a deadline.
"""

from __future__ import annotations

import hashlib
import os
import resource
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from queue import SimpleQueue

import msgspec
import pytest
from hypothesis import example, given, settings

from contract.codec import decode_result
from contract.inputs import Failed, Report, Succeeded
from contract.orders import Run
from contract.results import attempt_prefix
from gpu_worker.io import result_objects
from gpu_worker.io.checker_process import Checkers
from gpu_worker.io.encoders import Encoders
from gpu_worker.io.encoding import DEFAULT_TUNING
from gpu_worker.io.results import ResultsWriter
from gpu_worker.io.supplies import Supplies
from gpu_worker.rules.outcome import Computed
from runtime.worker.outages import OutageWaits
from runtime.worker.scratch import Scratch
from tests.properties.gpu_worker.left_by_a_child import (
    FILES,
    ITSELF,
    KINDS,
    NAMES,
    OUTPUT_BYTES_MAX,
    PLACES,
    WHOLE_BYTES_MAX,
    extras,
    outputs,
    replaced,
)
from tests.twin.object_store import TwinObjectStore
from tests.unit.gpu_worker.programs import installed
from tests.waiting import until

DEADLINE_S = 30.0
MEMORY_KIB_MAX = 512 * 1024
"""How much the process may grow, in bytes, though it reads from files of a terabyte and from files without an end."""


class Store(TwinObjectStore):
    def delete_prefix(self, prefix: str) -> int:
        raise AssertionError("nothing is abandoned here")


class Node:
    """The parts of an agent that deal with an attempt's folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.elsewhere = root.parent / "elsewhere"
        self.elsewhere.mkdir()
        others = root.parent / "others" / "outputs"
        others.mkdir(parents=True)
        for name in NAMES:
            (others / name).write_text("another's words")
        self.scratch = Scratch(root)
        self.scratch.new_home(0)
        self.store = Store()
        self.checkers = Checkers()
        self.told: SimpleQueue[tuple[str, Report]] = SimpleQueue()
        self.writer = ResultsWriter(
            self.store,
            self.scratch.open_outputs,
            self.checkers,
            lambda *told: self.told.put(told),
            OutageWaits(lambda *_: None),
            Encoders("", DEFAULT_TUNING, self.scratch, None, 0),
        )
        self.supplies = Supplies(msgspec.Raw(b"{}"), installed())
        self.number = 0

    def leave(self, kind: str, path: str) -> None:
        """Does as a child might, in place of what stands there. A device needs root, and some names are taken."""
        with suppress(OSError):
            os.rename(path, f"{self.elsewhere}/{len(os.listdir(self.elsewhere))}")  # noqa: PTH104, PTH208
        with suppress(OSError):
            KINDS[kind](path)

    def order(self) -> Run:
        self.number += 1
        return Run("n", "s", "p", 1, "j", 1, f"1.{self.number}.0", "m", "v1", 1000, 0, 0, "")

    def places(self, run: Run) -> dict[str, str]:
        home = self.scratch.home(0)
        return {
            "outputs": self.scratch.writing(0),
            "slot": home.rpartition("/")[0],
            "home": home,
            "temporary": self.scratch.temporary(0),
        }

    def ended(self, run: Run, names: tuple[str, ...]) -> Report:
        """How the attempt ended, after its folders were cleared as the agent clears them."""
        self.in_time(lambda: self.scratch.keep_outputs(0, run.dispatch))
        self.writer.store(run, self.supplies, Computed(msgspec.Raw(b'{"n":1}'), names))
        told, report = self.told.get(timeout=DEADLINE_S)
        assert told == run.dispatch
        self.in_time(lambda: self.scratch.clean_temporary(0))
        self.in_time(lambda: self.scratch.clean(run.dispatch))
        self.in_time(lambda: self.scratch.new_home(0))
        assert not os.path.lexists(self.scratch.attempt(run.dispatch))
        for place in (self.scratch.home(0), self.scratch.temporary(0)):
            assert list(Path(place).iterdir()) == []
        return report

    def in_time(self, call: Callable[[], None]) -> None:
        """Runs what the agent does in its own thread: it must be done in time and raise nothing."""
        raised: list[BaseException] = []

        def work() -> None:
            try:
                call()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
        assert raised == []


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(result_objects, "OUTPUT_BYTES_MAX", OUTPUT_BYTES_MAX)
        patched.setattr(result_objects, "WHOLE_BYTES_MAX", WHOLE_BYTES_MAX)
        node = Node(tmp_path_factory.mktemp("node") / "scratch")
        yield node
        node.checkers.close()
        node.scratch.close(DEADLINE_S)


def test_what_a_child_leaves_is_stored_or_refused_and_holds_nobody_up(node: Node) -> None:
    tally: Counter[str] = Counter()
    memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(max_examples=70, derandomize=True)
    @given(outputs, extras, replaced)
    def holds(declared: dict[str, str], beside: dict[str, str], instead: tuple[str, str] | None) -> None:
        run = node.order()
        places = node.places(run)
        Path(places["outputs"]).mkdir()
        for name, kind in declared.items():
            node.leave(kind, f"{places['outputs']}/{name}")
        for place, kind in beside.items():
            node.leave(kind, PLACES[place].format(**places))
        if instead is not None:
            node.leave(instead[1], ITSELF[instead[0]].format(**places))
        contents = {name: written(kind, places["outputs"], name) for name, kind in declared.items()}
        report = node.ended(run, tuple(declared))
        if isinstance(report, Succeeded):
            tally["taken"] += 1
            assert set(declared.values()) <= {*FILES, "unreadable"}, "nothing else is an output"
            assert not declared or instead is None, "nor is it found elsewhere"
            assert stored(node.store.objects, run, report) == contents
        else:
            assert isinstance(report, Failed)
            assert report.kind == "bad_outputs"
            assert report.error in ("OutputMissing", "OutputNotAFile", "OutputsTooLarge")
            assert instead is not None or set(declared.values()) - set(FILES), "what is good is not refused"
            tally[report.error] += 1
        node.store.state.objects.clear()
        after = node.order()
        outputs_of_next = Path(node.scratch.writing(0))
        outputs_of_next.mkdir()
        (outputs_of_next / "a").write_bytes(b"next")
        report = node.ended(after, ("a",))
        assert isinstance(report, Succeeded), "the next attempt in the slot is none the worse"
        assert stored(node.store.objects, after, report) == {"a": b"next"}

    for kind in sorted(KINDS):
        holds = example({"a": kind}, dict.fromkeys(PLACES, kind), None)(holds)
    for place, kind in product(sorted(ITSELF), ("pipe", "link to another's outputs", "link to another's attempt")):
        holds = example({"a": "regular"}, {}, (place, kind))(holds)
    holds()
    assert tally["taken"] >= sum(tally.values()) / 3, tally
    assert len(tally) == 4, f"each way to be refused is met: {tally}"
    until(lambda: not any((node.root / "gone").iterdir()), "all of it is deleted")
    assert not any((node.root / "attempts").iterdir())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kib < MEMORY_KIB_MAX


def written(kind: str, outputs: str, name: str) -> bytes:
    """The content of a file that may be kept, while the file is where it was written."""
    with suppress(OSError):
        if kind in FILES or kind == "unreadable":
            return Path(f"{outputs}/{name}").read_bytes()
    return b""


def stored(objects: dict[str, bytes], run: Run, report: Succeeded) -> dict[str, bytes]:
    """The outputs of the attempt in the store, as its manifest names them."""
    prefix = attempt_prefix(run.job, run.dispatch)
    raw = objects[prefix + "manifest.json"]
    assert report.manifest == "sha256:" + hashlib.sha256(raw).hexdigest()
    files = decode_result(raw).files
    assert [file.sha256 for file in files] == [
        hashlib.sha256(objects[prefix + file.name]).hexdigest() for file in files
    ]
    return {file.name: objects[prefix + file.name] for file in files}
