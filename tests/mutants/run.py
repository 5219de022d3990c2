"""Trying mutants: each is written into a copy of the tree, and its test runs there in a process of its own."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import aiokafka  # noqa: F401 # what takes long to import is imported once, before the processes that test begin
import confluent_kafka  # noqa: F401
import faust  # noqa: F401
import psutil
import pytest
import sqlalchemy  # noqa: F401

from tests.mutants.mutant import Mutant
from tests.mutants.tables import MUTANTS

ROOT = Path(__file__).parents[2]


class Limits(NamedTuple):
    timeout_s: float
    """A test that hangs with its mutant has caught it; no named test takes nearly so long without one."""
    patience_s: float
    """How long a test waits (tests.waiting)."""


IN_MEMORY, WITH_SERVERS = Limits(60.0, 10.0), Limits(180.0, 40.0)
ALL_S = 900.0
"""How long all named tests together may take without a mutant."""
RAN = 100
"""Is added to pytest's exit status: a process that ended before its tests must not be taken for a test that failed."""
PASSED, FAILED = RAN + pytest.ExitCode.OK, RAN + pytest.ExitCode.TESTS_FAILED
OUTPUT_BYTES_MAX = 20_000


def main(arguments: Sequence[str]) -> int:
    """Exit status: 1 when a mutant survives, or cannot be tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose name, file or test has one of these words")
    parser.add_argument("--list", action="store_true", help="try none: print each with its test")
    asked = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if _is_chosen(mutant, asked.words)]
    if not chosen:
        print("expected words that some mutant has in its name, file or test, found none", file=sys.stderr)
        return 1
    if asked.list:
        for mutant in chosen:
            print(f"{mutant.name} | {mutant.test}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left behind
    with _copy_of_the_tree() as tree:
        if red := _red_without_mutants(tree, chosen):
            print(f"expected every named test to pass without a mutant, found that some do not:\n{red}")
            return 1
        verdicts = [_tried(tree, mutant) for mutant in chosen]
    missed = [verdict for verdict in verdicts if verdict]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} mutants caught")
    return 1 if missed else 0


def _is_chosen(mutant: Mutant, words: Sequence[str]) -> bool:
    return not words or any(word in f"{mutant.name} {mutant.file} {mutant.test}" for word in words)


def _red_without_mutants(tree: Path, mutants: Sequence[Mutant]) -> str:
    """What pytest says when one of the named tests fails in the tree as it is; empty when all pass."""
    status, output = _tested(tree, sorted({mutant.test for mutant in mutants}), WITH_SERVERS._replace(timeout_s=ALL_S))
    return "" if status == PASSED else output


def _tried(tree: Path, mutant: Mutant) -> str:
    """Prints one line for the mutant. Why it was not caught; empty when its test went red."""
    began_s = time.monotonic()
    verdict, how = mutant.fault(tree), "caught"
    if not verdict:
        with _written(tree, mutant):
            limits = WITH_SERVERS if mutant.test.startswith("tests/integration/") else IN_MEMORY
            status, output = _tested(tree, [mutant.test], limits)
        if status == PASSED:
            verdict = "SURVIVED"
        elif status is None:
            how = "caught: the test hung"
        elif status != FAILED:
            verdict = f"its test did not run (exit status {status}):\n{output}"
    took_s = time.monotonic() - began_s
    print(f"{took_s:5.1f} s  {mutant.name} | {mutant.test} | {verdict or how}", flush=True)
    return verdict


def _tested(tree: Path, tests: Sequence[str], limits: Limits) -> tuple[int | None, str]:
    """RAN and pytest's exit status, None when the time was over; and the end of what it printed."""
    with tempfile.TemporaryFile() as output:
        process = get_context("fork").Process(target=_test, args=(tree, tests, limits.patience_s, output.fileno()))
        process.start()
        try:
            process.join(limits.timeout_s)
            status = process.exitcode
        finally:
            _end_what_is_left(tree, process.pid)
            process.join()
        output.seek(max(0, output.seek(0, os.SEEK_END) - OUTPUT_BYTES_MAX))
        return status, output.read().decode(errors="replace")


def _end_what_is_left(tree: Path, tester: int | None) -> None:
    """End the process that tests, if it hangs, and what its tests left: what has the tree in its words or settings."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid == os.getpid():
                continue
            if process.pid == tester or str(tree) in " ".join([*process.cmdline(), *process.environ().values()]):
                process.kill()


def _test(tree: Path, tests: Sequence[str], patience_s: float, output: int) -> None:
    """In a process of its own: run the tests of the tree, with nothing of ours that was imported before."""
    os.setsid()
    for stream in (1, 2):
        os.dup2(output, stream)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    os.environ |= {"PYTHONPATH": str(tree), "TESTS_PATIENCE_S": str(patience_s)}
    files = ["--basetemp", str(tree.parent / str(os.getpid()))]  # pytest need not clean up what a mutant left
    sys.exit(RAN + int(pytest.main(["-x", "-p", "no:cacheprovider", *files, *tests])))


@contextmanager
def _written(tree: Path, mutant: Mutant) -> Iterator[None]:
    """The mutant is in the tree. Python would take the compiled file of a text that is as long and as new."""
    file = tree / mutant.file
    text = file.read_text()
    try:
        _write(file, text.replace(mutant.text, mutant.instead))
        yield
    finally:
        _write(file, text)


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


@contextmanager
def _copy_of_the_tree() -> Iterator[Path]:
    """What git tracks or would take, copied to a directory that is removed afterwards."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    temporary = tempfile.mkdtemp(prefix="headrace-mutants-")
    tree = Path(temporary) / "tree"
    try:
        for name in filter(None, listed.decode().split("\0")):
            if (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        yield tree
    finally:
        subprocess.run(["rm", "-rf", temporary], check=False)  # a mutant may leave a tree too deep for shutil
