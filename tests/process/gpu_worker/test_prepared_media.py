"""A model gets the path of what was prepared: where it may read, before its slot is free, and until it is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.codec import decode_result
from contract.inputs import Failed, NodeHeartbeat, Started, Stopped, Succeeded
from contract.orders import Kill, Run
from contract.prepared import preparation_prefix
from contract.results import MANIFEST_NAME, attempt_prefix
from gpu_worker.rules.actions import LocalPhase
from runtime.worker.canary_flight import probe
from runtime.worker.confinement import confinement, forms
from tests.process.gpu_worker.agent_table import Table, running
from tests.twin.object_store import StoreFaults
from tests.unit.gpu_worker.prepared_bench import PREPARATION, prepare
from tests.waiting import until

CLIP, STILL = b"frames of a clip" * 1_000, b"a still"
MODEL = """
import os, time

def looked(path):
    found = {"bytes": os.path.getsize(path), "head": open(path, "rb").read(6).decode(), "path": path}
    for name, call in (("write", lambda: open(path, "ab")), ("remove", lambda: os.unlink(path)),
                       ("add", lambda: open(os.path.dirname(path) + "/more", "w"))):
        try:
            call()
            found[name] = True
        except OSError:
            found[name] = False
    found["folder"] = sorted(os.listdir(os.path.dirname(path)))
    return found

class Model:
    def load(self, weights_dir, device, rank, world_size): pass
    def predict(self, inputs, ctx):
        while inputs.get("wait") and not os.path.exists(inputs["wait"]): time.sleep(0.02)
        if "clip" not in inputs:
            return {"left": sorted(os.listdir(os.path.dirname(os.environ["TMPDIR"])))}
        return {"clip": looked(inputs["clip"]), "stills": [looked(path) for path in inputs["stills"]]}
"""
NAMED = {"clip": "upload:u-1", "stills": ["https://a.example/b.png"]}


@contextmanager
def node(folder: Path, **how: Any) -> Iterator[Table]:
    facts = probe()
    root = folder / "root"
    root.mkdir()
    held = confinement(forms(facts)[0], facts, root, [folder], {})
    with running(Table(folder, heartbeat_ms=20, model=MODEL, confinement=held, **how)) as table:
        yield table


def asking(table: Table, **inputs: Any) -> Run:
    """An order of a job whose media are in the store."""
    run = table.asking(msgspec.json.encode(NAMED | inputs))
    prepared = prepare(table.store, run.job, {("clip", 0): CLIP, ("stills", 0): STILL})
    return msgspec.structs.replace(run, prepared=prepared)


def values(table: Table, run: Run) -> Any:
    raw = table.store.objects[attempt_prefix(run.job, run.dispatch) + MANIFEST_NAME]
    return msgspec.json.decode(decode_result(raw).values)


def is_clean(folder: Path) -> bool:
    gone = list((folder / "scratch" / "gone").iterdir())
    return not gone and not list((folder / "scratch" / "attempts").iterdir())


def phase_of(table: Table, run: Run) -> LocalPhase | None:
    held = table.agent._rules.held.get(run.dispatch)
    return None if held is None else held.phase


def test_a_model_reads_what_was_prepared_and_changes_nothing_of_it(tmp_path: Path) -> None:
    with node(tmp_path) as table:
        run = asking(table)
        assert isinstance(table.ended(run), Succeeded), table.store.error_of(run)
        found = values(table, run)
        assert (found["clip"]["bytes"], found["clip"]["head"]) == (len(CLIP), "frames")
        assert (found["stills"][0]["bytes"], found["stills"][0]["head"]) == (len(STILL), "a stil")
        assert found["clip"]["folder"] == ["0.npy", "1.npy"]
        if table.agent._attempts._confinement is not None and table.agent._attempts._confinement.uid(0):
            assert not any(found["clip"][change] for change in ("write", "remove", "add"))
        until(lambda: is_clean(tmp_path))


def test_the_next_attempt_finds_nothing_of_them(tmp_path: Path) -> None:
    with node(tmp_path) as table:
        first = asking(table)
        assert isinstance(table.ended(first), Succeeded), table.store.error_of(first)
        second = table.asking(b"{}")
        assert isinstance(table.ended(second), Succeeded), table.store.error_of(second)
        assert "inputs" not in values(table, second)["left"]


def test_what_the_user_wrote_is_kept_as_it_was(tmp_path: Path) -> None:
    """inputs.json has the names, no paths of a node."""
    with node(tmp_path) as table:
        run = asking(table)
        assert isinstance(table.ended(run), Succeeded)
        assert msgspec.json.decode(table.store.objects[attempt_prefix(run.job, run.dispatch) + "inputs.json"]) == NAMED


def test_media_are_here_before_the_slot_is_free(tmp_path: Path) -> None:
    go_on = tmp_path / "scratch" / "slots" / "0" / "go_on"
    with node(tmp_path) as table:
        first, second = asking(table, wait=str(go_on)), asking(table)
        table.take(first)
        until(lambda: Started(first.job, first.dispatch) in table.broker.reports())
        table.take(second)
        until(lambda: phase_of(table, second) is LocalPhase.READY)
        table.store.state.faults = StoreFaults(away=True)
        until(go_on.parent.exists)
        go_on.touch()
        until(lambda: Started(second.job, second.dispatch) in table.broker.reports())
        table.store.mend()
        until(lambda: [type(report) for report in table.broker.reports()].count(Succeeded) == 2)


def test_ranks_of_a_gang_read_the_same_files(tmp_path: Path) -> None:
    with node(tmp_path, slots=2) as table:
        run = msgspec.structs.replace(asking(table), ranks=(0, 1), world=2)
        assert isinstance(table.ended(run), Succeeded), table.store.error_of(run)
        assert values(table, run)["clip"]["bytes"] == len(CLIP)
        until(lambda: is_clean(tmp_path))


def test_lost_media_are_prepared_anew_and_a_store_that_is_away_fails_nothing(tmp_path: Path) -> None:
    with node(tmp_path) as table:
        lost, away = asking(table), asking(table)
        table.store.delete([preparation_prefix(lost.job, PREPARATION) + "1.npy"])
        report = table.ended(lost)
        assert isinstance(report, Failed)
        assert report.kind == "inputs_missing"
        until(lambda: is_clean(tmp_path))
        table.store.state.faults = StoreFaults(away=True)
        table.take(away)
        until(lambda: table.broker.said(NodeHeartbeat)[-1].holding == "store")
        table.store.mend()
        until(lambda: table.broker.reports()[-1].dispatch == away.dispatch)
        until(lambda: isinstance(table.broker.reports()[-1], Succeeded))


def test_a_manifest_of_others_is_not_followed(tmp_path: Path) -> None:
    """Whoever may write to the store cannot give a job other media: the ledger has the digest of the manifest."""
    with node(tmp_path) as table:
        run = asking(table)
        prepare(table.store, run.job, {("clip", 0): b"x" * len(CLIP), ("stills", 0): STILL})
        report = table.ended(run)
        assert isinstance(report, Failed)
        assert report.kind == "inputs_missing"


def test_media_make_room_when_their_attempt_is_computed(tmp_path: Path) -> None:
    """Its result is not stored yet."""
    with node(tmp_path, input_bytes_max=1) as table:
        first, second = asking(table), asking(table)
        go_on = tmp_path / "scratch" / "slots" / "0" / "go_on"
        third = table.asking(msgspec.json.encode({"wait": str(go_on)}))
        table.take(third)
        until(lambda: Started(third.job, third.dispatch) in table.broker.reports())
        table.take(first)
        until(lambda: phase_of(table, first) is LocalPhase.READY)
        table.take(second)
        assert phase_of(table, second) in (None, LocalPhase.FETCHING)
        until(go_on.parent.exists)
        put = table.store.put
        table.store.put = lambda *_, **__: (_ for _ in ()).throw(TimeoutError)  # type: ignore[method-assign]
        go_on.touch()
        until(lambda: Started(second.job, second.dispatch) in table.broker.reports())
        assert phase_of(table, first) is LocalPhase.STORING
        table.store.put = put  # type: ignore[method-assign]
        until(lambda: [type(report) for report in table.broker.reports()].count(Succeeded) == 3)


@pytest.mark.parametrize("phase", ["fetching", "ready", "running"])
def test_a_job_that_is_cancelled_leaves_no_media(tmp_path: Path, phase: str) -> None:
    with node(tmp_path) as table:
        if phase == "ready":
            blocking = asking(table, wait="/never")
            table.take(blocking)
            until(lambda: Started(blocking.job, blocking.dispatch) in table.broker.reports())
        run = asking(table, wait="/never")
        if phase == "fetching":
            table.store.state.faults = StoreFaults(away=True)
        table.take(run)
        wanted = {"fetching": LocalPhase.FETCHING, "ready": LocalPhase.READY, "running": LocalPhase.RUNNING}[phase]
        until(lambda: phase_of(table, run) is wanted)
        table.take(Kill(run.node, run.session, run.pool, run.epoch, run.job, run.dispatch))
        until(lambda: Stopped(run.job, run.dispatch, "killed") in table.broker.reports())
        folders = tmp_path / "scratch" / "attempts"
        until(lambda: not (folders / run.dispatch).exists())
        until(lambda: not list((tmp_path / "scratch" / "slots").glob("*/inputs")) or phase == "ready")


def test_media_that_cannot_be_given_to_a_child_fail_the_attempt_and_not_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with node(tmp_path) as table:
        with monkeypatch.context() as broken:

            def refused(*_: Any) -> str:
                raise OSError(5, "Input/output error")

            broken.setattr(type(table.agent._scratch), "give_fetched", refused)
            run = asking(table)
            assert table.ended(run) == Failed(run.job, run.dispatch, "store", "OSError")
        run = asking(table)
        assert isinstance(table.ended(run), Succeeded), table.store.error_of(run)
