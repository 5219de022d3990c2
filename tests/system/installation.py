"""A stack of its own for a test: the product's own `up`, `down` and command line, plus the means to break it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from cli.api_client import ApiClient
from gpu_worker.child.model_process import CHILD
from local import stack
from local.options import Layout
from local.ports import free_port
from tests.waiting import until

ROOT = Path(__file__).parents[2]
POLICY = Path(__file__).parent / "policy.yaml"
HEARTBEAT_MS = "500"
NOOP = ROOT / "examples" / "models" / "noop"
HEADRACE = [sys.executable, "-c", "from cli.main import main; main()"]
"""The command as installed, whatever the PATH."""


class Installation:
    """A running stack in `data`."""

    def __init__(self, data: Path, options: dict[str, Any]) -> None:
        """`options` of `headrace up`."""
        self.data = data
        self.options = options
        self.layout = Layout(data)

    def start(self) -> None:
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in self.options.items()]
        done = self.cli("up", "--detach", *arguments, within_s=300)
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        stack.down(self.data)

    def api(self, *, operator: bool = False) -> ApiClient:
        keys = stack.keys(self.data)
        return ApiClient(stack.settings(self.data).api_url, keys.operator_key if operator else keys.api_key)

    def cli(self, *arguments: str, within_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run `headrace ARGUMENTS` against this stack, in a pipe."""
        env = {**os.environ, "HEADRACE_DATA": str(self.data), "HEADRACE_HEARTBEAT_MS": HEARTBEAT_MS}
        return subprocess.run(
            [*HEADRACE, *arguments],
            env=env,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
            umask=0o022,  # as most users have it
        )

    def json(self, *arguments: str) -> Any:
        """The command's JSON, when it exits 0."""
        done = self.cli(*arguments, "-o", "json")
        assert done.returncode == 0, f"headrace {' '.join(arguments)}: {done.stderr}"
        return json.loads(done.stdout)

    def publish_noop(self) -> str:
        """Digest of the version."""
        published = self.json("models", "publish", str(NOOP))
        digest: str = published["version"]["digest"]
        return digest

    def pid(self, part: str) -> int:
        """Process id of a part as it is now; 0 while it does not run."""
        return next((known.pid for known in stack.status(self.data).parts if known.name == part), 0)

    def kill(self, part: str) -> bool:
        """kill -9 a part. False when it was not running."""
        pid = self.pid(part)
        if not pid:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def kill_child(self, node: str) -> bool:
        """kill -9 one of the node's model processes. False when it has none."""
        try:
            for child in self.model_processes(node):
                child.kill()
                return True
        except psutil.Error:
            pass
        return False

    def model_processes(self, node: str) -> list[psutil.Process]:
        """One for each slot that has a child; the node has other processes too, which check values."""
        children = psutil.Process(self.pid(node)).children()
        return [child for child in children if str(CHILD) in child.cmdline()]

    def all_ready(self) -> bool:
        return stack.status(self.data).state == "ready"

    def processes(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        supervisor = psutil.Process(stack.status(self.data).pid)
        return [supervisor, *supervisor.children(recursive=True)]


@contextmanager
def installation(data: Path, **changes: Any) -> Iterator[Installation]:
    """A started stack with short times (policy.yaml), stopped at the end. The API's port is chosen here: of two stacks
    that start at one moment without a port, both would take the usual port, and one would end."""
    here = Installation(data, {"policy": POLICY, "slots": 2, "api_port": free_port(), **changes})
    try:
        here.start()
        yield here
    finally:
        here.stop()


def wait_ended(client: ApiClient, jobs: Sequence[str], within_s: float) -> dict[str, dict[str, Any]]:
    """The jobs' documents once all have ended."""
    ended: dict[str, dict[str, Any]] = {}

    def all_ended() -> bool:
        for job in jobs:
            if job not in ended:
                found = client.get(f"/v1/jobs/{job}")["job"]
                if found["ended_ms"] is not None:
                    ended[job] = found
        return len(ended) == len(jobs)

    until(all_ended, f"{len(jobs)} jobs ended", within_s)
    return ended


def words_found(words: bytes, *folders: Path) -> list[Path]:
    """Files below the folders whose bytes contain the words."""
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and words in _bytes_of(path)
    ]


def _bytes_of(path: Path) -> bytes:
    """Nothing when a server has deleted the file meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
