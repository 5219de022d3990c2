"""A file is decoded by a process that may crash, hang or babble, and that ends with all it started."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from contract.media import MediaRule
from contract.prepared import MediaFacts
from cpu_worker.io import file_decoders
from cpu_worker.io.file_decoders import DecoderProcesses
from cpu_worker.io.media_sources import MediaHere, MediaWanted
from cpu_worker.io.preparation_time import PreparationTime
from cpu_worker.rules.verdicts import PreparationAbandoned, PreparationRefusal, PreparationTimeOver
from runtime.media.confined_program import MediaDecoder
from runtime.media.decoder_program import DecoderProgram
from tests.process.cpu_worker.stub_decoder import FACTS
from tests.waiting import until

NOBODY = MediaDecoder(DecoderProgram("/nowhere", "0", 63, "none", ()), None)
WANTED = MediaWanted("video", 0, "video", MediaRule(), "upload:u-0")
LONG_S = 600.0


class Bench(NamedTuple):
    folder: Path
    decoders: DecoderProcesses

    def decode(self, how: str, time: PreparationTime | None = None) -> MediaFacts:
        source = self.folder / "source"
        source.write_text(how)
        here = MediaHere(source, "0" * 64, len(how))
        return self.decoders.decode(
            WANTED, here, self.folder / "target", self.folder / "scratch", time or PreparationTime(LONG_S)
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(file_decoders, "PROGRAM", "tests.process.cpu_worker.stub_decoder")
    return Bench(tmp_path, DecoderProcesses(NOBODY))


def test_facts_come_back_and_the_scratch_is_gone(bench: Bench) -> None:
    assert bench.decode("fine") == FACTS
    assert not (bench.folder / "scratch").exists()


def test_a_process_that_ended_without_an_answer_is_tried_once_more(bench: Bench) -> None:
    assert bench.decode("crash-once") == FACTS


@pytest.mark.parametrize("how", ["crash", "babble"])
def test_a_file_that_ends_the_decoder_twice_is_refused_in_a_sentence(bench: Bench, how: str) -> None:
    with pytest.raises(PreparationRefusal, match=r"inputs\.video: expected a file that can be decoded") as refused:
        bench.decode(how, PreparationTime(20.0))
    assert refused.value.kind == "decoder"


def test_what_the_decoder_refuses_is_the_files(bench: Bench) -> None:
    with pytest.raises(PreparationRefusal, match=r"inputs\.video: it is too long") as refused:
        bench.decode("refuse")
    assert refused.value.kind == "too_long"


def test_a_full_disk_is_not_the_files(bench: Bench) -> None:
    with pytest.raises(OSError, match="the decoder met OSError") as failed:
        bench.decode("disk")
    assert failed.value.errno == 28


def _gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def _abandoned(time: PreparationTime, _: Path) -> None:
    time.abandon()


@pytest.mark.parametrize(
    ("ends", "whole_s", "error"),
    [(_abandoned, LONG_S, PreparationAbandoned), (lambda time, told: None, 3.0, PreparationTimeOver)],
    ids=["abandoned", "time over"],
)
def test_a_decoder_that_hangs_ends_with_all_it_started_once_nobody_waits(
    bench: Bench, ends: Callable[[PreparationTime, Path], None], whole_s: float, error: type[Exception]
) -> None:
    told, time = bench.folder / "pids", PreparationTime(whole_s)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            bench.decode(f"hang {told}", time)
        except error as found:
            raised.append(found)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: told.exists() and len(told.read_text().split()) == 2, "it hangs", 30)
    pids = [int(pid) for pid in told.read_text().split()]
    assert not _gone(pids)
    ends(time, told)
    thread.join(30)
    assert raised
    until(lambda: _gone(pids), "the process and its child are gone", 10)


def test_a_decoder_ends_with_the_worker_that_is_killed(tmp_path: Path) -> None:
    """kill -9 of the worker: its decoder, a process of its own group, dies by the kernel's hand."""
    told = tmp_path / "pids"
    (tmp_path / "source").write_text(f"hang {told}")
    worker = os.fork()
    if worker == 0:
        file_decoders.PROGRAM = "tests.process.cpu_worker.stub_decoder"
        try:
            Bench(tmp_path, DecoderProcesses(NOBODY)).decode(f"hang {told}")
        finally:
            os._exit(1)
    until(lambda: told.exists() and len(told.read_text().split()) == 2, "it hangs", 30)
    decoder = int(told.read_text().split()[0])
    os.kill(worker, 9)
    os.waitpid(worker, 0)
    until(lambda: _gone([decoder]), "the decoder is gone", 10)
    os.kill(int(told.read_text().split()[1]), 9)
