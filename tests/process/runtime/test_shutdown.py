"""The first signal asks a process to stop, the second ends it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PLAIN = """
from runtime.shutdown import on_signal
event = on_signal()
print("up", flush=True)
assert event.wait(20)
print("stopping", flush=True)
import signal
signal.pause() if {linger} else None
"""

COROUTINE = """
import asyncio
from runtime.shutdown import on_signal_async
async def main():
    event = on_signal_async()
    print("up", flush=True)
    async with asyncio.timeout(20):
        await event.wait()
    print("stopping", flush=True)
asyncio.run(main())
"""


def start(program: str) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    return child


@pytest.mark.parametrize("program", [PLAIN.format(linger=False), COROUTINE])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_event(program: str, number: signal.Signals) -> None:
    child = start(program)
    child.send_signal(number)
    output, _ = child.communicate(timeout=20)
    assert (output, child.returncode) == ("stopping\n", 0)


def test_a_second_signal_ends_a_process_that_hangs() -> None:
    child = start(PLAIN.format(linger=True))
    child.send_signal(signal.SIGTERM)
    assert child.stdout is not None
    assert child.stdout.readline() == "stopping\n"
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == -signal.SIGTERM
    child.stdout.close()
