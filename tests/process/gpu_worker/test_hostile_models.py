"""Models that try what models of strangers would try: from their place, none of it can be done.

What they try is what the security review did with a child of the time. Each form in which the kernel here lets a child
start is tried; as it is without layers, nearly all of it works, so that the tries prove something.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing as closed
from pathlib import Path

import pytest

from gpu_worker.rules.outcome import Computed
from runtime.worker import confinement as confinements
from runtime.worker.canary_flight import probe
from runtime.worker.confinement import Confinement, Form, confinement, forms
from tests.process.gpu_worker.slot_bench import Bench, closing, values

FACTS = probe()
FORMS = [form for form in forms(FACTS) if form in (Form.OWN_USER, Form.NAMESPACES)]
if FACTS.user_namespace and Form.NAMESPACES not in FORMS:
    FORMS.append(Form.NAMESPACES)  # as a user has it, except that this user is root by name
pytestmark = pytest.mark.skipif(not FORMS, reason="the kernel lets no child have a view of its own")

MODEL = """
import errno, fcntl, json, mmap, os, resource, shutil, signal, socket, subprocess, sys, time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent

def could(call):
    try:
        found = call()
    except (OSError, MemoryError, ValueError):
        return False
    return True if found is None else bool(found)

def connect(kind, address):
    with socket.socket(kind) as any_socket:
        any_socket.settimeout(2)
        any_socket.connect(address)

def grow():
    with open(os.path.join(os.environ["TMPDIR"], "grow"), "wb") as file:
        file.truncate(65 * 1024**3)

def overwrite(path):
    os.chmod(path, 0o666)
    path.write_bytes(b"evil")

def leave(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"evil")

def hold(path):
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

def become_root():
    os.setresuid(0, 0, 0)
    Path("/etc/shadow").read_bytes()

class Model:
    def load(self, *_): pass
    def predict(self, inputs, ctx):
        return getattr(self, inputs["do"])(ctx)

    def look(self, ctx):
        agent, parent = int((HERE / "agent").read_text()), os.getppid()
        return {name: True for name, call in {
            "environment": lambda: Path(f"/proc/{agent}/environ").read_bytes(),
            "memory": lambda: open(f"/proc/{agent}/mem", "rb").close(),
            "descriptors": lambda: os.readlink(f"/proc/{agent}/fd/0"),
            "parent": lambda: open(f"/proc/{parent}/mem", "rb").close(),
            "processes": lambda: sum(name.isdecimal() for name in os.listdir("/proc")) > 2,
            "keys": lambda: (ROOT / "keys.json").read_bytes(),
            "others": lambda: [*(ROOT / "scratch" / "attempts").iterdir()],
            "another slot": lambda: [*(ROOT / "scratch" / "slots" / "1").iterdir()],
            "every slot": lambda: [name for name in os.listdir(ROOT / "scratch" / "slots") if name != "0"],
            "home": lambda: [*Path("/root").iterdir()] and [name for name in os.listdir("/root") if name != ".pyenv"],
        }.items() if could(call)}

    def reach(self, ctx):
        agent, told = int((HERE / "agent").read_text()), json.loads((HERE / "told.json").read_text())
        return {name: True for name, call in {
            "path": lambda: connect(socket.AF_UNIX, told["path"]),
            "name": lambda: connect(socket.AF_UNIX, chr(0) + told["name"]),
            "port": lambda: connect(socket.AF_INET, ("127.0.0.1", told["port"])),
            "signal": lambda: os.kill(agent, 0),
        }.items() if could(call)}

    def change(self, ctx):
        return {name: True for name, call in {
            "code": lambda: overwrite(HERE / "model.py"),
            "compiled": lambda: leave(HERE / "__pycache__" / "model.cpython-311.pyc"),
            "weights": lambda: overwrite(ROOT / "v1" / "weights"),
            "lock": lambda: hold(ROOT / "version.lock"),
        }.items() if could(call)}

    def change_host(self, ctx):
        return {name: True for name, call in {
            "environment": lambda: leave(Path(sys.prefix) / "evil-headrace.txt"),
            "program": lambda: leave(Path(sys.modules["__main__"].__file__).parent / "evil-headrace.txt"),
            "host": lambda: leave(Path("/var/evil-headrace")),
            "disk": lambda: os.mknod(os.path.join(os.environ["TMPDIR"], "disk"), 0o60666, os.makedev(254, 0)),
            "root": become_root,
        }.items() if could(call)}

    def name(self, ctx):
        # as CUDA does when it starts; and what nobody may
        import threading
        told = {}
        def look():
            told["thread"] = threading.get_native_id()
            time.sleep(60)
        threading.Thread(target=look, daemon=True).start()
        while not told: time.sleep(0.001)
        path = Path(f"/proc/self/task/{told['thread']}/comm")
        return {name: True for name, call in {
            "thread": lambda: path.write_text("cuda-EvtHandlr"),
            "machine": lambda: Path("/proc/sys/kernel/core_pattern").open("r+").close(),
            "network": lambda: Path("/proc/sys/net/ipv4/ip_forward").open("r+").close(),
            "key": lambda: Path("/proc/sysrq-trigger").open("r+").close(),
        }.items() if could(call)}

    def spend(self, ctx):
        return {name: True for name, call in {
            "file": grow,
            "memory": lambda: mmap.mmap(-1, 40 * 1024**3, 0x4022).close(),
            "core": lambda: resource.getrlimit(resource.RLIMIT_CORE)[1] != 0,
        }.items() if could(call)}

    def fork(self, ctx):
        forked = 0
        try:
            while forked < 300:
                if os.fork() == 0:
                    time.sleep(600)
                    os._exit(0)
                forked += 1
        except OSError:
            pass
        return {"forked": forked}

    def live(self, ctx):
        with socket.create_server(("127.0.0.1", 0)) as server:
            connect(socket.AF_INET, server.getsockname())
        import multiprocessing, tempfile
        with multiprocessing.Pool(1) as pool:
            assert pool.map(abs, [-1]) == [1]
        tempfile.mkdtemp()
        subprocess.run(["true"], check=True)
        Path("~/.cache").expanduser().mkdir()
        Path("/dev/null").write_bytes(b"x")
        if os.environ["TMPDIR"].startswith("/tmp/") is False:
            Path("/tmp/file").write_text("x")
        Path(ctx.output("a.txt")).write_text(str(os.getuid()))
        return {"umask": os.umask(0), "names": sorted(os.environ)}
"""


def held(form: Form, folder: Path) -> Confinement:
    (folder / "root").mkdir()
    return confinement(form, FACTS, folder / "root", [folder], {})


@pytest.fixture(params=FORMS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    yield from closing(prepared(tmp_path, held(request.param, tmp_path)))


def prepared(folder: Path, confinement: Confinement | None, device: str = "cpu") -> Bench:
    """A node's disk with other things on it."""
    bench = Bench(folder, model=MODEL, confinement=confinement, memory_mib=1024, device=device)
    (folder / "keys.json").write_text("secret")
    (folder / "code" / "agent").write_text(str(os.getpid()))
    (folder / "version.lock").touch()
    (folder / "v1").mkdir()
    (folder / "v1" / "weights").write_text("weights")
    for other in ("attempts/1.9.0/outputs", "slots/1/home"):
        (folder / "scratch" / other).mkdir(parents=True)
        (folder / "scratch" / other / "a.txt").write_text("another's")
    folder.chmod(0o700)
    return bench


def test_it_sees_nothing_of_the_agent_or_of_others(bench: Bench) -> None:
    assert values(bench.outcome("look")) == {}


def test_it_reaches_nobody(bench: Bench) -> None:
    name = f"headrace-hostile-{os.getpid()}"
    folder = Path(bench.directory)
    with (
        closed(socket.socket(socket.AF_UNIX)) as path,
        closed(socket.socket(socket.AF_UNIX)) as named,
        socket.create_server(("127.0.0.1", 0)) as port,
    ):
        path.bind(os.path.relpath(folder / "s"))
        named.bind(f"\0{name}")
        for listener in (path, named):
            listener.listen()
        told = f'{{"path": "{folder / "s"}", "name": "{name}", "port": {port.getsockname()[1]}}}'
        (folder / "code" / "told.json").write_text(told)
        assert values(bench.outcome("reach")) == {}


@pytest.mark.parametrize(("asks", "allowed", "has"), [(1, 1, 1), (1, 0, 0), (0, 1, 0)])
def test_it_has_the_nodes_network_if_it_asks_and_the_policy_lets_it(
    bench: Bench, asks: int, allowed: int, has: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as port:
        told = f'{{"path": "/nowhere", "name": "none", "port": {port.getsockname()[1]}}}'
        (bench.directory / "code" / "told.json").write_text(told)
        found = values(bench.outcome("reach", asks_network=bool(asks), network=bool(allowed)))
    assert found == ({"port": True} if has else {})


def test_it_changes_nothing_that_others_run(bench: Bench) -> None:
    before = (bench.directory / "code" / "model.py").read_bytes()
    assert values(bench.outcome("change")) == {}
    could = values(bench.outcome("change_host"))
    is_root_by_name = FACTS.uid == 0 and bench.slot._confinement is not None and not bench.slot._confinement.uid(0)
    assert could == ({"root": True} if is_root_by_name else {})
    assert (bench.directory / "code" / "model.py").read_bytes() == before
    assert (bench.directory / "v1" / "weights").read_text() == "weights"


@pytest.mark.parametrize("form", [*FORMS, Form.RULES])
def test_with_gpus_it_may_name_its_threads_and_change_nothing_of_the_machine(form: Form, tmp_path: Path) -> None:
    """CUDA does not start when it cannot (shown on an H200, 2026-11-26)."""
    for device, named in (("cuda", True), ("cpu", False)):
        folder = tmp_path / device
        folder.mkdir(mode=0o711)
        for bench in closing(prepared(folder, held(form, folder), device=device)):
            found = values(bench.outcome("name"))
            if form is Form.RULES and os.geteuid() == 0:
                found = {"thread": True} if "thread" in found else {}  # root by name: files of root are its own
            assert found == ({"thread": True} if named else {})


def test_it_uses_up_no_more_than_it_may(bench: Bench) -> None:
    assert values(bench.outcome("spend")) == {}


def test_it_starts_only_so_many_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinements, "PROCESSES_MAX", 40)
    for bench in closing(prepared(tmp_path, held(FORMS[0], tmp_path))):
        assert values(bench.outcome("fork"))["forked"] < 40


def test_what_a_model_of_ours_needs_it_has(bench: Bench) -> None:
    """Temporary files, a home, processes, a network of its own, outputs that the agent then has."""
    outcome = bench.outcome("live")
    assert isinstance(outcome, Computed), outcome
    found = values(outcome)
    assert found["umask"] == 0o077
    assert not [name for name in found["names"] if name.startswith(("HEADRACE", "AWS", "PG"))]
    uid = int((Path(bench.scratch.outputs("1.1.0")) / "a.txt").read_text())
    assert (uid != os.getuid()) == (bench.slot._confinement is not None and bench.slot._confinement.uid(0) != 0)


def test_without_layers_all_that_works(tmp_path: Path) -> None:
    for bench in closing(prepared(tmp_path, None)):
        assert {"keys", "others", "another slot", "every slot", "processes"} <= values(bench.outcome("look")).keys()
        assert {"code", "weights", "compiled", "lock"} <= values(bench.outcome("change")).keys()
        assert {"file", "memory"} <= values(bench.outcome("spend")).keys()
