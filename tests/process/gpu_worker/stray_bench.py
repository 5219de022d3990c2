"""An agent's slot in a process of its own, which adopts what its children leave: run by test_strays.py.

`python stray_bench.py DIRECTORY SCENARIO` prints what the scenario found, as JSON."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from runtime.worker.cgroups import own_cgroup
from runtime.worker.strays import children_of_this_process
from tests.process.gpu_worker.slot_bench import Bench, alive
from tests.waiting import until

MODEL = r"""
import os, signal, subprocess, sys, time

def tell(path):
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)

def daemonise(path):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        tell(path)
    os.execve("/bin/sleep", ["sleep", "1000"], {})

class Model:
    def load(self, *_): pass
    def nothing(self, path): return {}
    def detach(self, path):
        daemonise(path)
        while not os.path.exists(path): time.sleep(0.005)
        return {}
    def die(self, path):
        self.detach(path)
        os._exit(3)
    def comet(self, path):
        if os.fork() == 0:
            os.setsid()
            while True:
                if os.fork():
                    os._exit(0)
                time.sleep(0.0005)
        return {}
    def disown(self, path):
        import ctypes
        ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
        return self.detach(path)
    def predict(self, inputs, ctx):
        told = os.path.join(os.path.dirname(__file__), "daemon")
        if os.path.exists(told): os.remove(told)
        return getattr(self, inputs["do"])(told)
"""


def daemon_of(bench: Bench) -> int:
    return int((bench.directory / "code" / "daemon").read_text())


def cleared(bench: Bench) -> None:
    """All strays that there are have ended."""
    until(lambda: not bench.strays.clear(), "all strays have ended", 20)


def switch(bench: Bench) -> Any:
    """The daemon outlives its attempt, while its model stays loaded; no longer."""
    bench.outcome("detach")
    pid = daemon_of(bench)
    cleared(bench)
    stays = alive(pid)
    bench.outcome("nothing", version="v2")
    return {"while its model lives": stays, "after": alive(pid)}


def death(bench: Bench) -> Any:
    """The child ends by itself."""
    outcome = bench.outcome("die")
    return {"error": outcome.error, "after": alive(daemon_of(bench))}


def disowned(bench: Bench) -> Any:
    """The model gives up what keeps its processes below it: they are strays at once."""
    bench.outcome("disown")
    pid = daemon_of(bench)
    cleared(bench)
    return {"after": alive(pid), "slot": bench.slot.pid != 0}


def comet(bench: Bench) -> Any:
    """Processes that fork faster than anybody looks. Without a cgroup they may go on; the slot does so all the same."""
    bench.outcome("comet")
    bench.outcome("nothing", version="v2")
    is_over = own_cgroup() is None or not bench.strays.clear()
    bench.slot.close(20.0)
    cleared(bench)
    left = list(base.glob(f"headrace-{os.getpid()}-*")) if (base := own_cgroup()) is not None else []
    return {"over": is_over, "cgroups": len(left)}


def own(bench: Bench) -> Any:
    """What the agent itself started is no stray, and of what it did not start no zombie is left."""
    bench.outcome("die")
    with subprocess.Popen(["sleep", "1000"], process_group=0) as ours:
        cleared(bench)
        found = {"ours": alive(ours.pid), "others": [p for p in children_of_this_process() if p != ours.pid]}
        ours.kill()
    return found


def killed(bench: Bench) -> Any:
    """The agent is killed: its successor in the same scratch ends what went to somebody else."""
    bench.launch("nothing")
    bench.next("done", since=0)
    environment = {"HOME": bench.scratch.home(0)}
    left = subprocess.Popen(["/bin/sleep", "1000"], env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    print(left.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def main(directory: str, scenario: str) -> None:
    bench = Bench(Path(directory))
    (bench.directory / "code" / "model.py").write_text(MODEL)
    bench.strays.adopt()
    found = globals()[scenario](bench)
    bench.slot.close(20.0)
    cleared(bench)
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
