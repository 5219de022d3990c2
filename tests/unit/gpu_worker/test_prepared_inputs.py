"""Prepared media that a node fetches: what is checked, what waits for room, what an outage is and what a loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
import pytest

from contract.orders import PreparedInputs, Run
from contract.prepared import PreparedFile, preparation_prefix
from gpu_worker.io.prepared_inputs import MODE, InputsLost, PreparedFetcher, with_paths
from gpu_worker.rules.outcome import Failure
from runtime.worker.outages import GivenUp, OutageWaits
from tests.twin.object_store import StoreFaults, TwinObjectStore
from tests.unit.gpu_worker.prepared_bench import PREPARATION, prepare, prepared_file
from tests.waiting import until

CLIP, STILL = b"frames of a clip", b"a still"


class Table:
    def __init__(self, folder: Path, bytes_max: int = 1_000) -> None:
        self.folder = folder
        self.store = TwinObjectStore()
        self.waits: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self.on_rest: Callable[[], None] = lambda: None
        waits = OutageWaits(lambda *told: self.waits.put(told), pause=self.pause, now_s=self.store.clock.now_s)
        self.fetcher = PreparedFetcher(self.store, self, waits, bytes_max)
        self.told: dict[str, Any] = {}

    def fetched(self, dispatch: str) -> str:
        return str(self.folder / dispatch)

    def make_fetched(self, dispatch: str) -> None:
        (self.folder / dispatch).mkdir(exist_ok=True)

    def pause(self, seconds: float) -> None:
        self.store.clock.pass_(seconds)
        self.on_rest()

    def order(self, number: int = 1, prepared: PreparedInputs | None = None) -> Run:
        job = f"j{number}"
        prepared = prepared or prepare(self.store, job, {("clip", 0): CLIP, ("stills", 1): STILL})
        return Run("n", "s", "p", 1, job, 1, f"1.{number}.0", "m", "v", 1_000, 0, 0, "", prepared=prepared)

    def fetch(self, run: Run) -> None:
        self.fetcher.fetch(run, lambda found: self.told.__setitem__(run.dispatch, found))

    def result(self, run: Run) -> Any:
        self.fetch(run)
        return until(lambda: self.told.get(run.dispatch))


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def test_what_was_prepared_lies_on_disk_and_may_only_be_read(table: Table) -> None:
    run = table.order()
    files = table.result(run)
    assert [(file.field, file.index, file.name) for file in files] == [("clip", 0, "0.npy"), ("stills", 1, "1.npy")]
    assert [(table.folder / "1.1.0" / name).read_bytes() for name in ("0.npy", "1.npy")] == [CLIP, STILL]
    assert {path.stat().st_mode & 0o777 for path in (table.folder / "1.1.0").iterdir()} == {MODE}


def lose(table: Table, name: str) -> None:
    table.store.delete([preparation_prefix("j1", PREPARATION) + name])


def damage(table: Table, name: str) -> None:
    table.store.place(preparation_prefix("j1", PREPARATION) + name, b"x" * len(CLIP))


@pytest.mark.parametrize("change", [lose, damage])
@pytest.mark.parametrize("name", ["manifest.json", "0.npy"])
def test_what_the_store_has_lost_is_to_be_prepared_anew(
    table: Table, change: Callable[[Table, str], None], name: str
) -> None:
    run = table.order()
    change(table, name)
    found = table.result(run)
    assert isinstance(found, Failure)
    assert found.kind == "inputs_missing"
    assert found.detail.startswith("expected the ") or found.detail.startswith("0.npy: expected the ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"job": "another"}, "of this preparation"),
        ({"preparation": "1.6.0"}, "of this preparation"),
        ({"files": (prepared_file("../0.npy", CLIP, "clip"),)}, "names of prepared files"),
        ({"files": (prepared_file("0.npy", CLIP, "clip"),) * 2}, "names of prepared files"),
        ({"files": (prepared_file("0.npy", CLIP * 9, "clip"),)}, "expected files of at most"),
    ],
    ids=["job", "preparation", "a way out", "twice", "too much"],
)
def test_a_manifest_that_cannot_be_is_not_followed(table: Table, changes: dict[str, Any], words: str) -> None:
    prepared = prepare(table.store, "j1", {("clip", 0): CLIP, ("stills", 1): STILL}, **changes)
    found = table.result(table.order(prepared=prepared))
    assert isinstance(found, Failure)
    assert found.kind == "inputs_missing"
    assert words in found.detail


def test_another_length_is_a_loss_too(table: Table) -> None:
    run = table.order()
    table.store.place(preparation_prefix("j1", PREPARATION) + "0.npy", CLIP + b"more")
    assert table.result(run).kind == "inputs_missing"


def test_a_store_that_is_away_is_waited_for_and_what_is_here_is_not_fetched_again(table: Table) -> None:
    run = table.order()
    begun = table.folder / "1.1.0"
    begun.mkdir()
    (begun / "0.npy").write_bytes(CLIP)
    (begun / "0.npy").chmod(MODE)
    lose(table, "0.npy")
    table.store.state.faults = StoreFaults(away=True)
    rests = []

    def rest() -> None:
        rests.append(1)
        if len(rests) == 5:
            table.store.mend()

    table.on_rest = rest
    assert len(table.result(run)) == 2
    assert len(rests) == 5
    assert {cause for _, cause in [table.waits.get(), table.waits.get()]} == {"store", ""}


def test_what_does_not_fit_is_fetched_when_there_is_room_in_the_order_in_which_it_came(tmp_path: Path) -> None:
    both = len(CLIP + STILL)
    table = Table(tmp_path, bytes_max=2 * both)
    runs = [table.order(number) for number in range(5)]
    for run in runs[:3]:
        table.fetch(run)
    until(lambda: len(table.told) == 2)
    small = table.order(9, prepare(table.store, "j9", {("clip", 0): b"x"}))
    table.fetch(small)
    table.fetch(runs[3])
    assert set(table.told) == {run.dispatch for run in runs[:2]}, "a small one does not pass a large one"
    table.fetcher.let_go(runs[0].dispatch)
    until(lambda: runs[2].dispatch in table.told)
    table.fetcher.let_go(runs[3].dispatch)  # its job was cancelled while it waited
    table.fetcher.let_go(runs[1].dispatch)
    until(lambda: small.dispatch in table.told)
    table.fetcher.let_go(small.dispatch)
    table.fetcher.let_go(runs[2].dispatch)
    table.fetch(runs[4])
    until(lambda: runs[4].dispatch in table.told)
    assert runs[3].dispatch not in table.told


def test_media_of_one_job_are_fetched_whatever_the_budget(tmp_path: Path) -> None:
    table = Table(tmp_path, bytes_max=1)
    assert len(table.result(table.order())) == 2


def test_nothing_comes_after_its_attempt_was_forgotten(table: Table) -> None:
    table.store.state.faults = StoreFaults(away=True)
    run = table.order()
    done: SimpleQueue[int] = SimpleQueue()

    def forget() -> None:
        (table.folder / "1.1.0").rmdir()
        table.fetcher.let_go(run.dispatch)
        done.put(1)

    table.on_rest = forget
    table.fetch(run)
    done.get(timeout=10)
    other = table.order(2)
    table.store.mend()
    table.result(other)
    table.fetcher.let_go(other.dispatch)
    assert run.dispatch not in table.told
    assert not (table.folder / "1.1.0").exists()
    with pytest.raises(Empty):
        done.get_nowait()


def test_no_folder_comes_after_its_attempt_was_forgotten(table: Table) -> None:
    table.make_fetched = lambda dispatch: pytest.fail("the attempt was forgotten")  # type: ignore[method-assign]
    with pytest.raises(GivenUp):
        table.fetcher._fetch(table.order())


def file(field: str, index: int = 0, name: str = "0.npy") -> PreparedFile:
    return prepared_file(name, CLIP, field, index)


def test_each_place_that_named_a_medium_gets_its_path() -> None:
    inputs = msgspec.Raw(b'{"prompt":"words","clip":"upload:u-1","stills":["job:a/b.png","https://a"],"n":1}')
    found = with_paths(inputs, (file("clip"), file("stills", 0, "1.npy"), file("stills", 1, "2.npy")), "/here")
    assert msgspec.json.decode(found) == {
        "prompt": "words",
        "clip": "/here/0.npy",
        "stills": ["/here/1.npy", "/here/2.npy"],
        "n": 1,
    }
    assert with_paths(inputs, (), "/here") is inputs


@pytest.mark.parametrize("wrong", [file("other"), file("clip", 1), file("stills", 2), file("stills", -1), file("n")])
def test_a_file_without_a_place_is_none_of_this_jobs(wrong: PreparedFile) -> None:
    inputs = msgspec.Raw(b'{"clip":"upload:u-1","stills":["a","b"],"n":1}')
    with pytest.raises(InputsLost):
        with_paths(inputs, (wrong,), "/here")
    with pytest.raises(InputsLost):
        with_paths(msgspec.Raw(b"[]"), (wrong,), "/here")
