"""Runs the no-op job through each peer, with worker processes and a Redis that serve nothing else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import measure

HERE = Path(__file__).parent / "peers"
ENVIRONMENT = Path(os.environ.get("BENCH_PEERS", Path.home() / ".cache" / "headrace" / "bench-peers"))

WORKERS: dict[str, list[str]] = {
    "celery": ["celery", "-A", "celery_app", "worker", "--loglevel=ERROR", "--concurrency=2"],
    "dramatiq": ["dramatiq", "dramatiq_app", "--processes", "2", "--threads", "8"],
    "arq": ["arq", "arq_app.WorkerSettings"],
}
"""How each peer's workers start: two processes for two cores where the peer has processes; arq is one event loop."""


def install() -> None:
    """Installs the peers into an environment of their own, and Redis from Debian."""
    if not (ENVIRONMENT / "bin" / "celery").exists():
        subprocess.run(["uv", "venv", "-q", "--clear", str(ENVIRONMENT)], check=True)
        target = ["--python", str(ENVIRONMENT / "bin" / "python"), "-r", str(HERE / "requirements.txt")]
        subprocess.run(["uv", "pip", "install", "-q", *target], check=True)
    if shutil.which("redis-server") is None:
        subprocess.run(["apt-get", "install", "-y", "-qq", "redis-server"], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Starts a Redis with its default durability on a free port and yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        "redis-server",
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--loglevel",
        "warning",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


class PeerArm:
    """Measures one peer. Every measurement gets a new Redis and new workers."""

    def __init__(self, name: str) -> None:
        self.name = name

    def latency(self, rate_per_s: float, seconds: float) -> measure.Latency:
        count = int(rate_per_s * seconds)
        with self._bench() as (folder, env), self._worker(env):
            self._warm(folder, env)
            self._submit(count, rate_per_s, folder, env)
            return measure.latency(measure.wait_for(folder, count, 120), rate_per_s)

    def drain(self, count: int) -> measure.Drain:
        with self._bench() as (folder, env):
            self._submit(count, 0, folder, env)
            with self._worker(env):
                return measure.drain(measure.wait_for(folder, count, 180))

    @contextmanager
    def _bench(self) -> Iterator[tuple[Path, dict[str, str]]]:
        with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name, redis(Path(name)) as url:
            folder = Path(name) / "stamps"
            folder.mkdir()
            path = f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}"
            yield folder, {**os.environ, "BENCH_REDIS": url, "PYTHONPATH": str(HERE), "PATH": path}

    @contextmanager
    def _worker(self, env: dict[str, str]) -> Iterator[None]:
        process = subprocess.Popen(
            WORKERS[self.name], cwd=HERE, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _warm(self, folder: Path, env: dict[str, str]) -> None:
        """Runs 20 jobs whose stamps don't count: then the worker is up."""
        warm = folder.parent / "warm"
        warm.mkdir()
        self._submit(20, 0, warm, env)
        measure.wait_for(warm, 20, 60)

    def _submit(self, count: int, rate_per_s: float, folder: Path, env: dict[str, str]) -> None:
        command = [str(ENVIRONMENT / "bin" / "python"), str(HERE / "submit.py")]
        arguments = [self.name, str(count), str(rate_per_s), str(folder)]
        subprocess.run([*command, *arguments], cwd=HERE, env=env, check=True)
