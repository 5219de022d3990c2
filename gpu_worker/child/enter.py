"""Goes behind the layers, then becomes another program: `python -I -S enter.py PLAN PROGRAM ARGUMENT…`.

What a version's interpreter runs before our program (`.pth` files, `sitecustomize`) is the version's own code, so the
layers must stand before that interpreter starts. PLAN is JSON (`gpu_worker.child.confinement`). Exit status 126: the
kernel refused a layer; 127: there is no such program. `enter.py probe` prints what the kernel lets us have.

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
    """A module of the folder `layers`."""
    spec = importlib.util.spec_from_file_location(f"headrace_{name}", Path(__file__).parent / "layers" / f"{name}.py")
    assert spec is not None, f"{name}.py is installed beside enter.py"
    assert spec.loader is not None, f"{name}.py is a source file"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__dict__["from_kernel"] = KERNEL
    return module


KERNEL: Any = None
KERNEL = layer("kernel")


def apply(plan: Any) -> None:
    """OSError."""
    die_with(plan["parent"])
    layer("namespaces").enter(plan)
    limits = layer("limits")
    limits.apply(plan)
    landlock = layer("landlock") if plan["landlock"] else None
    layer("user").become(plan)
    die_with(plan["parent"])  # the kernel forgets it when the user changes
    if landlock is not None:
        landlock.restrict(plan["landlock"])
    os.chdir(plan["home"])


def die_with(parent: int) -> None:
    KERNEL.prctl(KERNEL.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


def probe() -> dict[str, int]:
    """What the kernel lets a child of ours have, each tried in a process of its own."""
    k = KERNEL
    spaces = k.CLONE_NEWNS | k.CLONE_NEWIPC | k.CLONE_NEWNET
    return {
        "uid": os.geteuid(),
        "namespaces": int(_works(lambda: k.unshare(spaces))),
        "user_namespace": int(_works(lambda: k.unshare(spaces | k.CLONE_NEWUSER))),
        "landlock": layer("landlock").abi(),
    }


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
