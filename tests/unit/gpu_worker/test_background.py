"""A crew: how many threads it has, that none holds up the end, and that none is lost to a job that fails."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from structlog.testing import capture_logs

from gpu_worker.io.background import Crew

DEADLINE_S = 20.0


def test_as_many_jobs_as_the_crew_is_large_run_at_a_time_in_threads_that_end_with_the_process() -> None:
    crew = Crew("results", 2)
    begun: SimpleQueue[threading.Thread] = SimpleQueue()
    let = threading.Event()

    def job() -> None:
        begun.put(threading.current_thread())
        assert let.wait(DEADLINE_S)

    for _ in range(4):
        crew.submit(job)
    first = [begun.get(timeout=DEADLINE_S) for _ in range(2)]
    assert {thread.name for thread in first} == {"results-1", "results-2"}
    assert all(thread.daemon for thread in first)
    assert begun.empty(), "the others wait for a thread"
    let.set()
    assert {begun.get(timeout=DEADLINE_S) for _ in range(2)} <= set(first)


def test_a_thread_that_has_nothing_to_do_is_used_before_another_is_started() -> None:
    crew = Crew("seldom-busy", 50)
    done = threading.Semaphore(0)
    for _ in range(50):
        crew.submit(done.release)
        assert done.acquire(timeout=DEADLINE_S)
    assert sum(thread.name.startswith("seldom-busy-") for thread in threading.enumerate()) < 50


def test_a_job_that_fails_is_told_of_without_its_words_and_costs_no_thread() -> None:
    crew = Crew("versions", 1)
    after = threading.Event()

    def fail() -> None:
        raise ValueError("secret words")

    with capture_logs() as logs:
        crew.submit(fail)
        crew.submit(after.set)
        assert after.wait(DEADLINE_S)
    (line,) = logs
    assert (line["log_level"], line["crew"], line["error"]) == ("error", "versions", "ValueError")
    assert "secret words" not in str(line)
