"""Shows on a machine with a GPU that a child behind all layers computes there, and reaches nothing of its agent.

`check_sandbox.sh` runs this. Needs torch, and no server: it starts children as a node does (`confinement`), by each
form that the kernel lets it have, and each child tries what `CHILD` says. Exit status 0: each form that was tried
computed on the GPU, and the tightest one held everything off.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from runtime.worker.canary_flight import find_layers, probe
from runtime.worker.confinement import ChildPlaces, Confinement, confinement, forms, interpreter_places
from runtime.worker.launch import child_environment

LIMIT_S = 100.0

CHILD = r"""
import json, os, resource, socket, sys, time
from pathlib import Path
told = json.loads(sys.argv[1])

def could(call):
    try:
        call()
    except Exception:
        return False
    return True

def connect(kind, address):
    with socket.socket(kind) as any_socket:
        any_socket.settimeout(2)
        any_socket.connect(address)

found = {
    "uid": os.geteuid(),
    "pid": os.getpid(),
    "processes in sight": sum(name.isdecimal() for name in os.listdir("/proc")),
    "address space": resource.getrlimit(resource.RLIMIT_AS)[0],
    "devices": [name for name in ("nvidia0", "nvidiactl", "nvidia-uvm") if Path("/dev", name).exists()],
    "could": [name for name, call in {
        "read the agent's file": lambda: Path(told["secret"]).read_bytes(),
        "see the agent's file": lambda: os.stat(told["secret"]),
        "read the agent's environment": lambda: Path(f"/proc/{told['agent']}/environ").read_bytes(),
        "read the agent's memory": lambda: open(f"/proc/{told['agent']}/mem", "rb").close(),
        "signal the agent": lambda: os.kill(told["agent"], 0),
        "reach a socket by path": lambda: connect(socket.AF_UNIX, told["path"]),
        "reach a socket by name": lambda: connect(socket.AF_UNIX, chr(0) + told["name"]),
        "change a setting of the machine": lambda: open("/proc/sys/kernel/core_pattern", "r+").close(),
        "reach a port": lambda: connect(socket.AF_INET, ("127.0.0.1", told["port"])),
    }.items() if could(call)],
}
started_s = time.monotonic()
try:
    import torch
    found["torch"] = torch.__version__
    found["import_s"] = round(time.monotonic() - started_s, 2)
    found["cuda"] = torch.cuda.is_available()
    if found["cuda"]:
        started_s = time.monotonic()
        found["gpu"] = torch.cuda.get_device_name()
        one = torch.randn(256, 256)
        error = ((one.cuda() @ one.cuda()).cpu() - one @ one).abs().max().item()
        found["error"] = round(error, 5)
        found["first_matmul_s"] = round(time.monotonic() - started_s, 2)
        big = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
        big @ big
        torch.cuda.synchronize()
        started_s = time.monotonic()
        for _ in range(10):
            big @ big
        torch.cuda.synchronize()
        found["tflops"] = round(10 * 2 * 8192**3 / (time.monotonic() - started_s) / 1e12)
        pinned = torch.empty(64 * 2**20, dtype=torch.uint8, pin_memory=True)
        found["pinned"] = pinned.is_pinned()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            big.add_(1)
        graph.replay()
        torch.cuda.synchronize()
        found["graph"] = True
except BaseException as error:
    found["failed"] = f"{type(error).__name__}: {error}"[:500]
print(json.dumps(found))
"""


def child(python: str, told: dict[str, Any], held: Confinement | None, folder: Path) -> dict[str, Any]:
    """What a child found, by this confinement; None: as the agent itself."""
    place = folder / "slots" / "0"
    shutil.rmtree(place, ignore_errors=True)
    (place / "home").mkdir(parents=True)
    (place / "kept").mkdir()
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "child.py").write_text(CHILD)
    before: list[str] = []
    if held is not None:
        if held.uid(0):
            for path in (place, *place.iterdir()):
                os.chown(path, held.uid(0), held.uid(0))
        read = (str(folder / "code"), *interpreter_places(python))
        places = ChildPlaces(read, str(place), str(place / "home"), str(place / "kept"))
        before = held.command(held.plan(0, places, gpus=True, memory_mib=1024))
    variables = child_environment(os.environ, 4, []) | {"HOME": str(place / "home"), "TMPDIR": str(place / "kept")}
    command = [*before, python, "-I", "-B", str(folder / "code" / "child.py"), json.dumps(told)]
    started_s = time.monotonic()
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, env=variables, cwd="/", check=False
    )
    found: dict[str, Any] = {"took_s": round(time.monotonic() - started_s, 2), "status": done.returncode}
    try:
        found |= msgspec.json.decode(done.stdout.splitlines()[-1])
    except (IndexError, msgspec.DecodeError):
        found["failed"] = done.stderr.decode(errors="replace")[-800:] or "it printed nothing"
    return found


def listening(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """Files and sockets of an agent: what a child is told of them."""
    secret = folder / "keys.json"
    secret.write_text("secret")
    secret.chmod(0o600)
    told: dict[str, Any] = {"agent": os.getpid(), "secret": str(secret)}
    told |= {"path": str(folder / "socket"), "name": f"headrace-device-{os.getpid()}"}
    addresses = (
        (socket.AF_UNIX, told["path"]),
        (socket.AF_UNIX, f"\0{told['name']}"),
        (socket.AF_INET, ("127.0.0.1", 0)),
    )
    for kind, address in addresses:
        listener = stack.enter_context(socket.socket(kind, socket.SOCK_STREAM))
        listener.bind(address)
        listener.listen()
    return told | {"port": listener.getsockname()[1]}


def main(python: str) -> int:
    facts, good = probe(), True
    print("the kernel lets children have", facts)
    with tempfile.TemporaryDirectory(prefix="headrace-device-", dir="/var/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        told = listening(stack, folder)
        layers = find_layers(folder / "confinement", [folder], os.environ)
        print("the canary flew by", layers.confinement.form.value, "and found broken:", dict(layers.broken))
        print("no layers:", json.dumps(child(python, told, None, folder)))
        for form in forms(facts):
            held = confinement(form, facts, folder / "confinement" / "root", [folder], os.environ)
            found = child(python, told, held, folder)
            print(f"{form.value}:", json.dumps(found))
            good = good and bool(found.get("cuda")) and "failed" not in found
            if form is layers.confinement.form:
                good = good and not found["could"] and layers.all_hold and found["address space"] == -1
    who = pwd.getpwuid(os.getuid()).pw_name
    print(f"{who}: GOOD" if good else f"{who}: NOT GOOD")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
