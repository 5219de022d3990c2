"""Goes behind the layers, then becomes another program: `python -I -S enter.py PLAN PROGRAM ARGUMENT…`.

What a version's interpreter runs before our program (`.pth` files, `sitecustomize`) is the version's own code, so the
layers must stand before that interpreter starts. PLAN is JSON (`runtime.worker.confinement`). Exit status 126: the
kernel refused a layer; 127: there is no such program. `enter.py probe` prints what the kernel lets us have.

Where the plan wants processes of its own, this process stays outside as their keeper (`processes.py`), and the
program is the second process of its namespace.

Standard library only: this process has become the child by the time anything is imported.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REFUSED, NO_PROGRAM = 126, 127


def layer(name: str) -> Any:
    """A module of this folder."""
    spec = importlib.util.spec_from_file_location(f"headrace_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None, f"{name}.py is installed beside enter.py"
    assert spec.loader is not None, f"{name}.py is a source file"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__dict__["from_kernel"] = KERNEL
    return module


KERNEL: Any = None
KERNEL = layer("kernel")


def apply(plan: Any) -> None:
    """OSError. With own processes, returns in the process that is to become the program, and in no other."""
    die_with(plan["parent"])
    namespaces, user, limits = layer("namespaces"), layer("user"), layer("limits")  # here: the new root may lack them
    landlock = layer("landlock") if plan["landlock"] else None
    memory = namespaces.enter(plan)
    kept = None
    if plan["processes"] == "own":
        kept = layer("processes").Kept(lambda: become(user, plan))
    if plan["mounts"]:
        namespaces.change_root(plan, memory)
    limits.apply(plan)
    if kept is None:
        become(user, plan)
    else:
        user.become(plan)
        kept.die_with_keeper()
    if landlock is not None:
        landlock.restrict(plan["landlock"])
    os.chdir(plan["home"])
    if kept is not None:
        kept.start_second()


def become(user: Any, plan: Any) -> None:
    """Be a child of the agent without rights. OSError."""
    user.become(plan)
    die_with(plan["parent"])  # the kernel forgets it when the user changes


def die_with(parent: int) -> None:
    KERNEL.prctl(KERNEL.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def probe() -> dict[str, int]:
    """What the kernel lets a child of ours have, each tried in a process of its own."""
    k = KERNEL
    spaces = k.CLONE_NEWNS | k.CLONE_NEWIPC | k.CLONE_NEWNET
    return {
        "uid": os.geteuid(),
        "namespaces": int(_works(lambda: k.unshare(spaces))),
        "user_namespace": int(_works(lambda: k.unshare(spaces | k.CLONE_NEWUSER))),
        "landlock": layer("landlock").abi(),
        "processes": int(_works(_have_own_processes)),
    }


def _have_own_processes() -> None:
    """Be a user's or root's child with processes of its own, and see only those. OSError."""
    k = KERNEL
    k.unshare(k.CLONE_NEWNS | k.CLONE_NEWPID | (k.CLONE_NEWUSER if os.geteuid() else 0))

    def see() -> None:
        k.mount("none", "/", None, k.MS_REC | k.MS_PRIVATE)
        layer("namespaces").mount_proc("/proc")

    if not _works(see):
        raise OSError


def _works(call: Callable[[], None]) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            call()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def main(arguments: list[str]) -> int:
    if arguments == ["probe"]:
        print(json.dumps(probe()))
        return 0
    try:
        apply(json.loads(arguments[0]))
    except OSError as error:
        print(f"expected to go behind the layers of a child, found: {error}", file=sys.stderr)
        return REFUSED
    try:
        os.execv(arguments[1], arguments[1:])
    except OSError as error:
        print(f"expected to become {arguments[1]}, found: {error}", file=sys.stderr)
    return NO_PROGRAM


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
