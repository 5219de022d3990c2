"""Values against output schemas, in a process of their own: what fits, what is fetched, and what becomes of a check
that does not end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpu_worker.io.checker import LENGTH_BYTES, PART_BYTES_MAX, READY
from gpu_worker.io.checker_process import CheckAborted, CheckerNotStarted, Checkers
from tests.waiting import until

DEADLINE_S = 20.0
COUNTED = {"type": "object", "properties": {"n": {"type": "integer"}}}


@pytest.fixture(scope="module")
def checkers() -> Iterator[Checkers]:
    checkers = Checkers()
    yield checkers
    checkers.close()


def fits(checkers: Checkers, schema: Any, values: bytes) -> bool:
    fault = checkers.fault(msgspec.json.encode(schema), values)
    assert fault is None or "expected " in fault.sentence
    return fault is None


@pytest.mark.parametrize(
    ("schema", "values", "expected"),
    [
        (COUNTED, b'{"n": 1}', True),
        (COUNTED, b"{}", True),
        (True, b"[]", False),
        (COUNTED, b'{"n": "one"}', False),
        (COUNTED, b'{"n":', False),
        (COUNTED, b"", False),
        (COUNTED, b"\xff", False),
        ({}, b"1e999", False),
        ({}, b"[" * 100_000, False),
        ({"type": "nonsense"}, b"{}", False),
        ({"$ref": "#/nowhere"}, b"{}", False),
        ({"$ref": "#"}, b"{}", False),
        ("nonsense", b"{}", False),
    ],
)
def test_values_fit_their_schema_or_not(checkers: Checkers, schema: Any, values: bytes, expected: bool) -> None:
    assert fits(checkers, schema, values) is expected


def test_no_schema_makes_it_fetch_anything(checkers: Checkers, tmp_path: Path) -> None:
    """The check does not wait either: the server never answers, and nobody writes to the pipe (security review, 4)."""
    (tmp_path / "schema.json").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        for place in (f"http://127.0.0.1:{server.getsockname()[1]}/x", f"{tmp_path.as_uri()}/schema.json"):
            assert not fits(checkers, {"$ref": place}, b"{}")
            hidden = {"$ref": "#/extra/a", "extra": {"a": {"allOf": [{"$id": place, "$ref": "#/x"}]}}}
            assert not fits(checkers, hidden, b"{}")
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.fixture
def stuck() -> Iterator[tuple[Checkers, int]]:
    """Checkers with one process, which does not answer, and the id of that process."""
    checkers = Checkers(check_s=0.3)
    assert fits(checkers, COUNTED, b"{}")
    pid = checkers._idle[0]._process.pid
    os.kill(pid, signal.SIGSTOP)
    yield checkers, pid
    checkers.close()


def test_a_check_without_an_end_is_ended_and_the_next_one_is_made(stuck: tuple[Checkers, int]) -> None:
    checkers, pid = stuck
    with pytest.raises(CheckAborted, match=r"within 0\.3 s") as aborted:
        fits(checkers, COUNTED, b"{}")
    assert aborted.value.name == "ValidationTimeOut"
    assert not Path(f"/proc/{pid}").exists()
    checkers._check_s = DEADLINE_S
    assert fits(checkers, COUNTED, b"{}")


def test_one_that_does_not_read_is_ended_too(stuck: tuple[Checkers, int]) -> None:
    checkers, pid = stuck
    with pytest.raises(CheckAborted) as aborted:
        fits(checkers, COUNTED, b'"' + b"x" * 4_000_000 + b'"')
    assert aborted.value.name == "ValidationTimeOut"
    assert not Path(f"/proc/{pid}").exists()


def test_a_check_that_costs_its_process_fails_alone() -> None:
    checkers = Checkers()
    assert fits(checkers, COUNTED, b"{}")
    pid = checkers._idle[0]._process.pid
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(fits, checkers, COUNTED, b"{}")
        until(lambda: not checkers._idle, "it is asked")
        assert fits(checkers, COUNTED, b"{}"), "another thread's check does not wait for it"
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(CheckAborted) as aborted:
            asked.result(DEADLINE_S)
    assert aborted.value.name == "ValidationDied"
    assert fits(checkers, COUNTED, b"{}")
    checkers.close()


def test_one_that_died_between_checks_is_not_missed() -> None:
    checkers = Checkers()
    assert fits(checkers, COUNTED, b"{}")
    process = checkers._idle[0]._process
    process.kill()
    process.wait(DEADLINE_S)
    assert fits(checkers, COUNTED, b"{}")
    checkers.close()


def test_what_is_too_large_is_not_asked() -> None:
    with pytest.raises(CheckAborted) as aborted:
        Checkers().fault(b"{}", b" " * (PART_BYTES_MAX + 1))
    assert aborted.value.name == "ValidationTooLarge"


def test_a_node_that_cannot_check_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(CheckerNotStarted):
        fits(Checkers(), COUNTED, b"{}")


def test_it_gets_no_credentials(checkers: Checkers) -> None:
    assert fits(checkers, COUNTED, b"{}")
    try:
        environment = Path(f"/proc/{checkers._idle[0]._process.pid}/environ").read_bytes()
    except PermissionError:  # unless we are root, nobody reads it
        return
    assert [part.partition(b"=")[0] for part in environment.split(b"\0") if part] == [b"PYTHONPATH"]


@pytest.mark.parametrize(
    ("doing", "status"), [("", 0), ("checker.fault = lambda *_: any(iter(int, 1))", -signal.SIGALRM)]
)
def test_it_ends_with_its_agent(doing: str, status: int) -> None:
    """In the middle of a check too: its own alarm ends the process."""
    ours, theirs = socket.socketpair()
    program = f"from gpu_worker.io import checker\n{doing}\nchecker.ALARM_S = 1\nchecker.main(['{theirs.fileno()}'])"
    process = subprocess.Popen([sys.executable, "-c", program], pass_fds=(theirs.fileno(),))
    theirs.close()  # so that a process that ends says nothing, instead of leaving us waiting
    with ours:
        assert ours.recv(1) == READY
        if doing:
            ours.sendall(bytes(2 * LENGTH_BYTES))
    assert process.wait(DEADLINE_S) == status
