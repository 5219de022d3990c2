"""The canary: tries from a child's place what no child may do, and prints what it could do, as JSON.

`python -I -B canary.py TARGETS`, with standard library only. `canary_flight` makes the targets.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def can(call: Callable[[], Any]) -> bool:
    try:
        call()
    except (OSError, ValueError):
        return False
    return True


def reads(path: str) -> bool:
    def read() -> None:
        with Path(path).open("rb", buffering=0) as file:
            file.read(1)

    return can(read)


def writes(path: str) -> bool:
    """Whether a file can be made there, or the file that is there be changed."""
    return can(lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)))


def connects(kind: socket.AddressFamily, address: Any) -> bool:
    def connect() -> None:
        with socket.socket(kind, socket.SOCK_STREAM) as any_socket:
            any_socket.settimeout(2)
            any_socket.connect(address)

    return can(connect)


def processes() -> int:
    """Of how many processes the child can see that they exist. Its own are two."""
    return sum(entry.name.isdecimal() for entry in Path("/proc").iterdir())


def status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def attempts(targets: dict[str, Any]) -> dict[str, list[str]]:
    """By layer, what could be done."""
    agent, found = targets["agent"], status()
    names = [name for name in os.environ if name not in targets["variables"]]
    tried = {
        "FILES": {
            **{f"read {path}": reads(path) for path in targets["files"]},
            **{f"write {path}": writes(path) for path in targets["shut"]},
            "write in its own directory failed": not writes(targets["own"]),
        },
        "MEMORY": {
            "read the agent's environment": reads(f"/proc/{agent}/environ"),
            "read the agent's memory": can(lambda: os.close(os.open(f"/proc/{agent}/mem", os.O_RDONLY))),
            "look up the agent's files": can(lambda: os.readlink(f"/proc/{agent}/fd/0")),  # noqa: PTH115
            "see processes of others": targets["alone"] and processes() > 2,
        },
        "SOCKETS": {
            "reach a socket of the agent by its path": connects(socket.AF_UNIX, targets["socket"]),
            "reach a socket of the agent by its name": connects(socket.AF_UNIX, f"\0{targets['name']}"),
        },
        "NETWORK": {"reach a port of the machine": connects(socket.AF_INET, ("127.0.0.1", targets["port"]))},
        "SIGNALS": {"signal the agent": can(lambda: os.kill(agent, 0))},
        "PRIVILEGES": {
            "be root": os.geteuid() == 0,
            "have capabilities": int(found["CapEff"], 16) != 0,
            "gain privileges": found["NoNewPrivs"] != "1",
            "leave a core file": resource.getrlimit(resource.RLIMIT_CORE)[1] != 0,
            "start processes without a limit": resource.getrlimit(resource.RLIMIT_NPROC)[1] > targets["processes"],
            **{f"read the variable {name}": True for name in names},
        },
    }
    return {layer: [what for what, could in tries.items() if could] for layer, tries in tried.items()}


if __name__ == "__main__":
    print(json.dumps(attempts(json.loads(sys.argv[1]))))
