"""Background threads: how many there are, that none holds up the end, and that none is lost to a call that fails."""

from __future__ import annotations

import subprocess
import sys
import threading
from queue import SimpleQueue

import pytest
from structlog.testing import capture_logs

from runtime.worker.background import BackgroundThreads

DEADLINE_S = 20.0


def test_as_many_calls_as_there_may_be_threads_run_at_a_time() -> None:
    threads = BackgroundThreads("results", 2)
    begun: SimpleQueue[threading.Thread] = SimpleQueue()
    let = threading.Event()

    def call() -> None:
        begun.put(threading.current_thread())
        assert let.wait(DEADLINE_S)

    for _ in range(4):
        threads.submit(call)
    first = [begun.get(timeout=DEADLINE_S) for _ in range(2)]
    assert {thread.name for thread in first} == {"results_0", "results_1"}
    assert begun.empty(), "the others wait for a thread"
    let.set()
    assert {begun.get(timeout=DEADLINE_S) for _ in range(2)} <= set(first)


HANGING = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from runtime.worker.background import BackgroundThreads
from runtime.entry import exit_with

begun = threading.Event()

def hang():
    begun.set()
    threading.Event().wait()

def run():
    threads = BackgroundThreads("payloads", 4)
    threads.submit(hang)
    ThreadPoolExecutor(1).submit(hang)
    begun.wait()
    return int(sys.argv[1])

exit_with("gpu_worker", run)
"""


@pytest.mark.parametrize(("status", "expected", "said"), [("7", 7, b""), ("x", 1, b"ValueError")])
def test_a_thread_that_hangs_does_not_hold_up_the_end_of_a_node_not_even_after_a_defect(
    status: str, expected: int, said: bytes
) -> None:
    ended = subprocess.run([sys.executable, "-c", HANGING, status], timeout=DEADLINE_S, capture_output=True)
    assert ended.returncode == expected
    assert said in ended.stderr


def test_a_thread_that_has_nothing_to_do_is_used_before_another_is_started() -> None:
    threads = BackgroundThreads("seldom-busy", 50)
    done = threading.Semaphore(0)
    for _ in range(50):
        threads.submit(done.release)
        assert done.acquire(timeout=DEADLINE_S)
    assert sum(thread.name.startswith("seldom-busy_") for thread in threading.enumerate()) < 50


def test_a_call_that_fails_is_told_of_without_its_words_and_costs_no_thread() -> None:
    threads = BackgroundThreads("versions", 1)
    after = threading.Event()

    def fail() -> None:
        raise ValueError("secret words")

    with capture_logs() as logs:
        threads.submit(fail)
        threads.submit(after.set)
        assert after.wait(DEADLINE_S)
    (line,) = logs
    assert (line["log_level"], line["threads"], line["error"]) == ("error", "versions", "ValueError")
    assert "secret words" not in str(line)
