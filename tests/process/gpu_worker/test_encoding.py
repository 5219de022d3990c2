"""What a model hands over is encoded by the node behind its layers, while the next attempt computes."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from contract.inputs import Failed, Report, Started, Stopped, Succeeded
from contract.orders import Kill, Run
from gpu_worker.io import encoders
from gpu_worker.io.encoders import Encoders
from gpu_worker.io.encoding import EncoderTuning
from gpu_worker.io.marks import TRAINED
from runtime.worker import outages
from runtime.worker.canary_flight import probe
from runtime.worker.confinement import Form, forms
from runtime.worker.rules.holding import Holding
from runtime.worker.scratch import Scratch
from tests.process.gpu_worker.agent_table import Table
from tests.process.gpu_worker.encoder_bench import (
    FPS,
    FRAMES,
    HEIGHT,
    WIDTH,
    asking,
    at_work,
    heartbeat,
    is_clean,
    is_hanging,
    let_go,
    manifest,
    node,
    stand_in,
    stored,
)
from tests.twin.object_store import StoreFaults
from tests.waiting import until


def test_frames_become_a_video_with_poster_and_thumbnail_that_the_manifest_names(tmp_path: Path) -> None:
    with node(tmp_path) as table:
        run = asking(table)
        report = table.ended(run)
        assert isinstance(report, Succeeded), table.store.error_of(run)
        files = {file.name: file for file in manifest(table, run).files}
        assert list(files) == ["video.mp4", "video.poster.jpg", "video.thumb.jpg"]
        for name, file in files.items():
            data = stored(table, run, name)
            assert (file.sha256, file.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
        assert [file.media_type for file in files.values()] == ["video/mp4", "image/jpeg", "image/jpeg"]
        assert report.bytes == sum(file.bytes for file in files.values())
        video = stored(table, run, "video.mp4")
        assert 0 < video.index(b"moov") < video.index(b"mdat"), "it can be played before it is all there"
        with av.open(io.BytesIO(video), "r") as found:
            stream = found.streams.video[0]
            assert (stream.codec.name, stream.pix_fmt) == ("h264", "yuv420p")
            assert stream.average_rate == FPS
            assert run.job in found.metadata["comment"]
            frames = list(found.decode(video=0))
        assert [(frame.width, frame.height) for frame in frames] == [(WIDTH, HEIGHT)] * FRAMES
        assert [round((frame.time or 0) * FPS, 6) for frame in frames] == list(range(FRAMES))
        first = frames[0].to_ndarray(format="rgb24")
        assert abs(int(first[24, 40, 0]) - 160) < 6, "the colours are those that were given"
        until(lambda: is_clean(tmp_path))


def test_images_are_what_was_given(tmp_path: Path) -> None:
    with node(tmp_path) as table:
        run = asking(table, '{"how": "image"}')
        assert isinstance(table.ended(run), Succeeded), table.store.error_of(run)
        names = [file.name for file in manifest(table, run).files]
        assert names == ["still.png", "still.thumb.jpg", "photo.jpg", "photo.thumb.jpg"]
        with av.open(io.BytesIO(stored(table, run, "still.png")), "r") as found:
            (picture,) = found.decode(video=0)
        assert picture.to_ndarray(format="rgb24")[0, :, 0].tolist() == [x * 4 % 256 for x in range(WIDTH)]


def test_every_file_says_that_a_model_made_it_which_and_for_which_job(tmp_path: Path) -> None:
    with node(tmp_path) as table:
        for how in ("video", "image"):
            run = asking(table, f'{{"how": "{how}"}}')
            assert isinstance(table.ended(run), Succeeded), table.store.error_of(run)
            for file in manifest(table, run).files:
                data = stored(table, run, file.name)
                for words in (TRAINED, run.version, run.job):
                    assert words.encode() in data, file.name
                with av.open(io.BytesIO(data), "r") as found:
                    assert list(found.decode(video=0)), "the mark leaves it readable"


def test_other_outputs_stand_beside_and_an_odd_rate_is_kept(tmp_path: Path) -> None:
    with node(tmp_path) as table:
        run = asking(table, '{"how": "both"}')
        assert isinstance(table.ended(run), Succeeded), table.store.error_of(run)
        names = [file.name for file in manifest(table, run).files]
        assert names == [
            "notes.txt",
            *(f"{stem}{end}" for stem in "ab" for end in (".mp4", ".poster.jpg", ".thumb.jpg")),
        ]
        with av.open(io.BytesIO(stored(table, run, "a.mp4")), "r") as found:
            assert found.streams.video[0].average_rate == pytest.approx(29.97, abs=0.001)


def test_the_slot_computes_on_while_an_encoder_works(tmp_path: Path) -> None:
    """The encoder of the first attempt stands still. Its slot goes on, and what is done meanwhile is told."""
    slow = stand_in(tmp_path, "slow")
    with node(tmp_path, encoder=slow) as table:
        first, second = asking(table), asking(table, '{"how": "nothing"}')
        table.take(first, second)
        until(lambda: Succeeded in map(type, table.broker.reports()))
        assert [type(report) for report in table.broker.reports()] == [Started, Started, Succeeded]
        assert table.broker.reports()[-1].dispatch == second.dispatch
        until(lambda: heartbeat(table).running == (first.dispatch,))
        let_go(tmp_path)
        until(lambda: first.dispatch in {r.dispatch for r in table.broker.reports() if isinstance(r, Succeeded)})


def test_pictures_that_wait_hold_the_slot_only_when_their_budget_is_spent(tmp_path: Path) -> None:
    slow = stand_in(tmp_path, "slow")
    with node(tmp_path, encoder=slow) as table:
        raw_bytes = WIDTH * HEIGHT * 3 * FRAMES
        table.agent._held_attempts._rules.holding = Holding(result_bytes_max=2 * raw_bytes)
        runs = [asking(table) for _ in range(3)]
        table.take(*runs)
        until(lambda: heartbeat(table).holding == "bytes")
        said = heartbeat(table)
        assert (len(said.running), len(said.staged)) == (2, 1)
        let_go(tmp_path)
        until(lambda: [type(report) for report in table.broker.reports()].count(Succeeded) == 3)
        until(lambda: heartbeat(table).holding == "")


def test_what_is_encoded_counts_no_more_though_the_store_is_away(tmp_path: Path) -> None:
    with node(tmp_path) as table:
        raw_bytes = WIDTH * HEIGHT * 3 * FRAMES
        table.agent._held_attempts._rules.holding = Holding(result_bytes_max=raw_bytes)
        table.store.state.faults = StoreFaults(away=True)
        runs = [asking(table) for _ in range(3)]
        table.take(*runs)
        until(lambda: [type(report) for report in table.broker.reports()] == [Started] * 3)
        table.store.mend()
        until(lambda: [type(report) for report in table.broker.reports()].count(Succeeded) == 3)


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("crash", "Exit7", "out of words"),
        ("signal", "Signal11", "it said nothing"),
        ("hang", "TimeOut", "within 0.5 s"),
        ("silent", "OutputMissing", "expected the encoder to make it"),
        ("memory", "Exit1", "MemoryError"),
        ("babble", "TimeOut", "within 0.5 s"),
    ],
)
def test_an_encoder_that_fails_twice_fails_the_attempt_in_a_sentence(
    tmp_path: Path, kind: str, error: str, words: str
) -> None:
    tuning = EncoderTuning(limit_s=0.5 if error == "TimeOut" else 60)
    with node(tmp_path, encoder=stand_in(tmp_path, kind), encoding=tuning) as table:
        run = asking(table)
        assert table.ended(run) == Failed(run.job, run.dispatch, "store", error)
        assert words in table.store.error_of(run)
        assert len(table.store.error_of(run)) < 4_000
        until(lambda: is_clean(tmp_path))
        assert not at_work(tmp_path)
        assert isinstance(table.ended(asking(table, '{"how": "nothing"}')), Succeeded), "the node goes on"


def test_an_encoder_that_fails_once_is_tried_again(tmp_path: Path) -> None:
    with node(tmp_path, encoder=stand_in(tmp_path, "once")) as table:
        run = asking(table)
        assert isinstance(table.ended(run), Succeeded), table.store.error_of(run)


def test_a_node_without_an_encoder_says_what_is_missing(tmp_path: Path) -> None:
    with node(tmp_path, encoder="") as table:
        run = asking(table)
        assert table.ended(run) == Failed(run.job, run.dispatch, "store", "FileNotFoundError")
        assert "HEADRACE_FFMPEG" in table.store.error_of(run)


def test_while_the_disk_is_full_pictures_wait_and_the_node_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_full = [True]
    monkeypatch.setattr(outages, "SAID_AFTER_S", 0.0)

    def check_room(_folder: int) -> None:
        if is_full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(encoders, "_check_room", check_room)
    crashing = stand_in(tmp_path, "crash")
    with node(tmp_path, encoder=crashing) as table:
        run = asking(table)
        table.take(run)
        until(lambda: heartbeat(table).holding == "disk")
        assert [type(report) for report in table.broker.reports()] == [Started]
        Path(crashing).write_text(Path(stand_in(tmp_path / "root", "slow")).read_text())
        let_go(tmp_path / "root")
        is_full[0] = False
        until(lambda: type(table.broker.reports()[-1]) is Succeeded)


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        ('{"how": "lie", "lie": {"frames": 2}}', "OutputChanged"),
        ('{"how": "lie", "lie": {"width": 1000000}}', "BadFrame"),
        ('{"how": "lie", "lie": {"rate": 0}}', "BadFrame"),
        ('{"how": "lie", "lie": {"name": "../video.mp4"}}', "BadFrame"),
        ('{"how": "lie", "lie": {"kind": "image"}}', "BadFrame"),
        ('{"how": "cut"}', "OutputChanged"),
        ('{"how": "link"}', "OutputMissing"),
    ],
)
def test_a_child_is_not_believed(tmp_path: Path, inputs: str, error: str) -> None:
    with node(tmp_path, encoder=stand_in(tmp_path, "crash")) as table:
        run = asking(table, inputs)
        assert table.ended(run) == Failed(run.job, run.dispatch, "bad_outputs", error)
        until(lambda: is_clean(tmp_path))


def test_more_than_a_node_has_for_one_attempt_is_refused_where_the_author_sees_it(tmp_path: Path) -> None:
    with node(tmp_path, frames_bytes_max=WIDTH * HEIGHT * 3 * FRAMES - 1) as table:
        run = asking(table)
        assert table.ended(run) == Failed(run.job, run.dispatch, "bad_outputs", "OtherError")
        assert "MediaTooLarge: video.mp4: expected pictures of at most" in table.store.error_of(run)


def kill(run: Run) -> Kill:
    return Kill(run.node, run.session, run.pool, run.epoch, run.job, run.dispatch)


def last(table: Table, run: Run) -> Report | None:
    found = [report for report in table.broker.reports() if report.dispatch == run.dispatch]
    return None if not found or isinstance(found[-1], Started) else found[-1]


def test_a_job_that_is_cancelled_while_it_is_encoded_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits for the encoder of the first."""
    asked = []
    take_turn = Encoders._take_turn

    def ask(these: Encoders, look: Callable[[], None]) -> int:
        asked.append(look)
        return take_turn(these, look)

    monkeypatch.setattr(Encoders, "_take_turn", ask)
    with node(tmp_path, encoder=stand_in(tmp_path, "hang")) as table:
        encoding, waiting = asking(table), asking(table)
        table.take(encoding)
        until(lambda: is_hanging(tmp_path))
        table.take(waiting)
        until(lambda: len(asked) == 2)
        for run in (waiting, encoding):
            table.take(kill(run))
            assert until(lambda: last(table, run)) == Stopped(run.job, run.dispatch, "killed")  # noqa: B023
        assert not at_work(tmp_path)
        until(lambda: is_clean(tmp_path))
        assert not table.store.objects


def test_a_node_that_leaves_gives_back_what_it_has_not_encoded(tmp_path: Path) -> None:
    with node(tmp_path, encoder=stand_in(tmp_path, "hang"), drain_grace_s=0.1) as table:
        run = asking(table)
        table.take(run)
        until(lambda: is_hanging(tmp_path))
        table.agent.stop()
        table.thread.join(20)
        assert last(table, run) == Stopped(run.job, run.dispatch, "drained")
        assert not at_work(tmp_path)
        assert not (tmp_path / "scratch" / "attempts").exists()


def test_a_node_that_ends_at_once_waits_until_its_encoders_have_ended(tmp_path: Path) -> None:
    with node(tmp_path, encoder=stand_in(tmp_path, "hang")) as table:
        table.take(asking(table))
        until(lambda: is_hanging(tmp_path))
        closed = threading.Event()
        for call in (table.agent._attempts.close, closed.set):
            table.agent._loop.post(call)
        assert closed.wait(20)
        assert not at_work(tmp_path)


def test_an_encoder_ends_with_its_node_and_the_next_node_sweeps_what_lies_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.process.gpu_worker.encoder_bench", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert "at work" in next(line for line in killed.stdout if "at work" in line)
        assert at_work(tmp_path)
        os.kill(killed.pid, signal.SIGKILL)
    until(lambda: not at_work(tmp_path))
    assert list((tmp_path / "scratch" / "attempts").iterdir()), "nobody has swept it yet"
    scratch = Scratch(tmp_path / "scratch")
    until(lambda: is_clean(tmp_path))
    scratch.close()


@pytest.mark.skipif(forms(probe())[0] in (Form.RULES, Form.LIMITS), reason="the kernel holds nothing off")
def test_an_encoder_sees_nothing_of_the_node(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("words")
    looks = stand_in(tmp_path, "slow")
    Path(looks).write_text(
        f"#!/bin/sh\ncat {secret} >&2; ls {tmp_path}/scratch/attempts/*/outputs >&2; ls {tmp_path}/scratch/slots >&2;"
        " cat /proc/net/dev >&2; id -u >&2; env >&2; exit 3\n"
    )
    with node(tmp_path, encoder=looks) as table:
        run = asking(table)
        assert isinstance(table.ended(run), Failed)
        said = table.store.error_of(run)
        assert said.count("No such file or directory") == 3, said
        assert "eth" not in said
        assert "PATH=/" not in said


def test_a_picture_shows_that_it_is_generated_where_the_operator_wants_that(tmp_path: Path) -> None:
    shown = {}
    for visible in (False, True):
        folder = tmp_path / str(visible)
        folder.mkdir()
        with node(folder) as table:
            run = table.asking(b'{"width": 320, "height": 240}', visible_mark=visible)
            assert isinstance(table.ended(run), Succeeded), table.store.error_of(run)
            assert [file.name for file in manifest(table, run).files] == [
                "video.mp4",
                "video.poster.jpg",
                "video.thumb.jpg",
            ]
            for name in ("video.mp4", "video.poster.jpg"):
                with av.open(io.BytesIO(stored(table, run, name)), "r") as found:
                    shown[visible, name] = next(found.decode(video=0)).to_ndarray(format="rgb24")
    for name in ("video.mp4", "video.poster.jpg"):
        plain, marked = shown[False, name].astype(int), shown[True, name].astype(int)
        changed = abs(plain - marked).max(axis=2) > 40
        assert changed[-20:, -30:].any()
        assert not changed[:-30].any()
        assert not changed[:, :-40].any()
