"""Every log line of a process is one JSON object on stderr that names the process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, structlog
from runtime.telemetry import configure_logging
configure_logging("tester", "info")
structlog.get_logger("a").info("ours", job="j")
logging.getLogger("b").warning("theirs %d", 1)
logging.getLogger("aiokafka.consumer").info("noise")
for number in range(50):
    logging.getLogger("aiokafka").error("no node %d", number)
structlog.get_logger("a").debug("hidden")
secret_local = "local words"
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("a").exception("failed")
"""


def test_lines_are_json_name_the_process_and_carry_no_locals() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["ours", "theirs 1", "no node 0", "failed"]
    assert all(line["process"] == "tester" and line["at"].endswith("Z") for line in lines)
    assert lines[0]["job"] == "j"
    assert "ZeroDivisionError" in lines[3]["exception"]
    assert "local words" not in done.stderr
    assert done.stdout == ""


FULL = """
import logging, structlog
from runtime.telemetry import configure_logging
configure_logging("tester", "info")
for _ in range(3):
    structlog.get_logger("a").info("ours")
    logging.getLogger("b").warning("theirs")
print("went on")
"""


def test_a_full_disk_loses_log_lines_and_not_the_process() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", FULL], stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert done.stdout == "went on\n"


FAILED = """
import logging, structlog
from runtime.telemetry import configure_logging
configure_logging("tester", "info")
def decode(value):
    return value.decode()
try:
    try:
        decode(b"a red dragon \\xff")
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {error.object!r}") from error
except ValueError as error:
    logging.getLogger("faust").exception("crashed: %r %s", error, "a place")
    logging.getLogger("faust").error("crashed: %(error)s", {"error": error})
    logging.getLogger("faust").error("it failed", exc_info=error)
    structlog.get_logger("a").exception("ours")
"""


def test_of_a_failure_whoever_logs_it_a_line_has_the_classes_and_the_places() -> None:
    done = subprocess.run([sys.executable, "-c", FAILED], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == [
        "crashed: ValueError a place",
        "crashed: ValueError",
        "it failed",
        "ours",
    ]
    for line in (lines[0], *lines[2:]):
        assert "ValueError\nbecause of\n" in line["exception"]
        assert "in decode" in line["exception"]
        assert line["exception"].endswith("UnicodeDecodeError")
    assert "dragon" not in done.stderr
