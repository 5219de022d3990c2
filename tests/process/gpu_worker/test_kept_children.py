"""A child with processes of its own: they end with it, whatever they did, and its end is told as any child's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runtime.worker.canary_flight import probe
from runtime.worker.confinement import Form, confinement, forms
from tests.process.gpu_worker.slot_bench import Bench, alive, closing, values
from tests.waiting import until

FACTS = probe()
FORMS = [form for form in forms(FACTS) if form in (Form.OWN_USER, Form.NAMESPACES) and FACTS.processes]
if FACTS.uid == 0 and FACTS.user_namespace and FORMS:
    FORMS.append(Form.NAMESPACES)  # as a user has it
pytestmark = pytest.mark.skipif(not FORMS, reason="the kernel lets no child have processes of its own")

MODEL = """
import os, signal, subprocess, sys, time

def comet():
    while True:
        if os.fork():
            os._exit(0)

def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execve("/bin/sleep", ["sleep", "54321"], {})

class Model:
    def load(self, *_): pass
    def predict(self, inputs, ctx):
        return getattr(self, inputs["do"])(ctx)
    def look(self, ctx): return {"pid": os.getpid(), "parent": os.getppid()}
    def leave(self, ctx):
        daemon()
        if os.fork() == 0:
            os.setsid()
            comet()
        return {}
    def quit(self, ctx): os._exit(7)
    def crash(self, ctx): os.kill(os.getpid(), signal.SIGSEGV); time.sleep(60)
    def killed(self, ctx): os.kill(os.getpid(), signal.SIGKILL)
    def hang_up(self, ctx):
        os.close(ctx._pipe.fd)
        while True: time.sleep(3600)
    def heed(self, ctx):
        def end(*_):
            print("told to end", flush=True)
            os._exit(9)
        signal.signal(signal.SIGTERM, end)
        open(ctx.output("ready"), "w").close()
        while True: time.sleep(0.01)
    def everyone(self, ctx):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(0, signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL):
            os.kill(1, number)
        return {}
    def endless(self, ctx):
        daemon()
        open(ctx.output("ready"), "w").close()
        while True: time.sleep(3600)
"""


@pytest.fixture(params=FORMS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    yield from closing(held(request.param, tmp_path))


def held(form: Form, folder: Path) -> Bench:
    folder.chmod(0o711)
    (folder / "root").mkdir()
    return Bench(folder, model=MODEL, confinement=confinement(form, FACTS, folder / "root", [folder], {}))


def below(pid: int) -> list[int]:
    """All processes that this one started, and those that they did."""
    return [process.pid for process in psutil.Process(pid).children(recursive=True)]


def ready(bench: Bench) -> None:
    bench.until((Path(bench.scratch.writing(0)) / "ready").exists)


def test_it_is_the_second_of_its_processes(bench: Bench) -> None:
    assert values(bench.outcome("look")) == {"pid": 2, "parent": 1}


def test_what_it_left_ends_with_it(bench: Bench) -> None:
    """Nobody looks for that: no stray is adopted here, and there is no cgroup. A process that forks without end is
    ended too."""
    bench.outcome("leave")
    first = below(bench.slot.pid)[0]
    bench.outcome("look", version="v2")
    assert not alive(first)
    left = [process for process in psutil.process_iter(["cmdline"]) if "54321" in (process.info["cmdline"] or ())]
    assert left == []


@pytest.mark.parametrize(("do", "error"), [("quit", "Exit7"), ("crash", "Signal11"), ("killed", "Signal9")])
def test_its_end_is_told_as_it_was(bench: Bench, do: str, error: str) -> None:
    outcome = bench.outcome(do)
    assert (outcome.kind, outcome.error) == ("child_died", error)


def test_a_child_that_closes_its_pipe_is_seen_to(bench: Bench) -> None:
    """Its keeper, and the first process, hold nothing open in its place."""
    assert bench.outcome("hang_up").kind == "child_died"


def test_it_hears_that_it_is_to_end(bench: Bench) -> None:
    bench.launch("heed", timeout_ms=400)
    ready(bench)
    outcome = bench.next("done", since=0)
    assert outcome.error == "TimeOut"
    assert "told to end" in outcome.prints


def test_it_ends_neither_its_keeper_nor_the_first_process(bench: Bench) -> None:
    assert values(bench.outcome("everyone")) == {}
    assert values(bench.outcome("look")) == {"pid": 2, "parent": 1}


@pytest.mark.parametrize("which", ["the keeper", "the first"])
def test_all_end_with_the_keeper_and_with_the_first(bench: Bench, which: str) -> None:
    bench.launch("endless")
    ready(bench)
    keeper = bench.slot.pid
    pids = [keeper, *below(keeper)]
    assert len(pids) >= 4
    os.kill(pids[0] if which == "the keeper" else pids[1], signal.SIGKILL)
    outcome = bench.next("done", since=0)
    assert (outcome.kind, outcome.error) == ("child_died", "Signal9")
    until(lambda: not any(map(alive, pids)), "all have ended")


def test_the_keeper_lasts_as_long_as_anything_of_its_child(bench: Bench) -> None:
    """So a child that a device holds is seen to live on (here: a first process that a tracer holds)."""
    bench.launch("endless")
    ready(bench)
    keeper = bench.slot.pid
    first = below(keeper)[0]
    tracer = f"import os, ctypes, sys, time; p = {first}; c = ctypes.CDLL(None, use_errno=True)\n" + TRACE
    with subprocess.Popen([sys.executable, "-c", tracer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held_by:
        assert held_by.stdout is not None
        if held_by.stdout.readline() != b"held\n":
            pytest.skip("no process may be traced here")
        process = bench.slot._process
        assert process is not None
        process.kill()
        assert process.ended(0.5) is None
        assert alive(keeper)
        held_by.kill()
    bench.next("done", since=0)


TRACE = """
EXITKILL, TRACEEXIT = 0x100000, 0x40
if c.ptrace(0x4206, p, 0, TRACEEXIT):
    print("no", flush=True)
    sys.exit()
print("held", flush=True)
time.sleep(600)
"""
