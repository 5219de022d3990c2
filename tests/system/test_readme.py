"""Every command that README.md shows, run as it is printed there, from `headrace up` to `headrace down`; and after
them, that no process survives, and all data does."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
import pytest

from contract import access
from contract.codec import encode, headers_for
from contract.side_topics import SubmissionRequested
from contract.topics import SUBMISSIONS
from local import stack
from runtime.kafka import Producer
from tests.system.installation import HEARTBEAT_MS, NOOP, ROOT, Installation
from tests.waiting import until

README = ROOT / "README.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")

ELSEWHERE = {
    "make demo": "fetches PyTorch; its steps are this file's, of a model that needs none",
    "make test": "runs this file",
}
"""Commands that this file does not run, and what does."""

LAST = "headrace down"


class Line(NamedTuple):
    """A command as the README prints it, without the comment behind it."""

    text: str

    @property
    def placeholders(self) -> set[str]:
        """Words in capitals, but for variables and HTTP's own."""
        return set(PLACEHOLDER.findall(re.sub(r"\$\w+|\"[^\"]*\"|'[^']*'", "", self.text)))


def commands() -> list[Line]:
    """Of every block without a language: the others are no commands."""
    blocks = [body for language, body in FENCE.findall(README.read_text()) if not language]
    joined = "".join(blocks).replace("\\\n", "")
    return [Line(re.sub(r"\s+#\s.*", "", line).strip()) for line in joined.splitlines() if line.strip()]


class Reader:
    """Whoever follows the README, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.here = Installation(folder / ".headrace", {})
        (folder / "examples").symlink_to(ROOT / "examples")
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HEADRACE_HEARTBEAT_MS": HEARTBEAT_MS,
            "CURL_HOME": str(folder),  # curl says the status too, though the README's line does not ask it to
        }
        (folder / ".curlrc").write_text('write-out = "\\n%{http_code}"\n')

    def run(self, line: str) -> str:
        """What the line prints, when it exits 0."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def run_until_interrupted(self, line: str) -> str:
        """The same of one that goes on until Ctrl-C, which comes once it has begun."""
        child = subprocess.Popen(
            ["bash", "-c", f"exec {line}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            until(lambda: self.here.json("policy", "shadows") or child.poll() is not None, "the shadow has begun")
            child.send_signal(signal.SIGINT)
            printed, said = child.communicate(timeout=60)
        finally:
            child.kill()
        assert child.returncode == 0, f"{line}\n{printed}{said}"
        return printed


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.here.stop()


def a_policy(reader: Reader) -> str:
    shutil.copy(ROOT / "examples" / "policies" / "local.yaml", reader.folder / "candidate.yaml")
    return "candidate.yaml"


def a_trace(reader: Reader) -> str:
    header = "arrival,tier,tenant,model,service_seconds"
    (reader.folder / "trace.csv").write_text(f"{header}\n0.000,api,acme,film,12.5\n0.840,free,studio,song,4\n")
    return "trace.csv"


def a_job(reader: Reader) -> str:
    return str(reader.here.json("jobs", "list")[0]["job"])


def a_version_without_alias(reader: Reader) -> str:
    """After the rollback `live` points to the version of the first job again."""
    kept = reader.here.json("jobs", "get", a_job(reader))["job"]["version"]
    versions = [str(found["digest"]) for found in reader.here.json("models", "show", "noop")["versions"]]
    return next(version for version in versions if version != kept)


def the_shadow(reader: Reader) -> str:
    return "candidate"


def a_refused_record(reader: Reader) -> str:
    return str(reader.here.json("quarantine", "list")[0]["record"])


def another_version(reader: Reader) -> None:
    """There must be one to roll back from."""
    model = reader.folder / "noop"
    shutil.copytree(NOOP, model)
    (model / "noop.py").write_text((NOOP / "noop.py").read_text() + "\n# another version\n")
    reader.run("headrace models publish noop")


def something_refused(reader: Reader) -> None:
    producer = Producer(stack.brokers(reader.here.data, access.PRODUCER), "upstream")
    request = SubmissionRequested("demo", "free", "nobody", msgspec.Raw(b"{}"))
    headers = headers_for(request, uuid.uuid4().hex, "//readme")
    producer.send_and_wait(SUBMISSIONS, encode(request), key=b"demo", headers=headers)
    producer.close()
    until(lambda: reader.here.json("quarantine", "list"), "the record is in quarantine")


def key_and_address(reader: Reader) -> None:
    reader.environment |= {
        "API": stack.status(reader.here.data).api_url,
        "KEY": stack.keys(reader.here.data).api_key,
    }


FILLED: dict[str, dict[str, Callable[[Reader], str]]] = {
    "headrace models withdraw": {"VERSION": a_version_without_alias},
    "headrace policy shadow": {"FILE": a_policy},
    "headrace policy shadows": {"NAME": the_shadow},
    "headrace policy promote": {"FILE": a_policy},
    "headrace audit story": {"JOB": a_job},
    "headrace jobs why": {"JOB": a_job},
    "headrace jobs logs": {"JOB": a_job},
    "headrace audit what-if": {"FILE": a_policy},
    "headrace audit import": {"FILE": a_trace},
    "headrace quarantine show": {"RECORD": a_refused_record},
}
"""What stands for the words in capitals, by the command's first words."""

BEFORE: dict[str, Callable[[Reader], None]] = {
    "headrace models rollback": another_version,
    "headrace quarantine list": something_refused,
    "curl": key_and_address,
}
"""What a reader has done before a command."""

PRINTED: dict[str, str] = {
    "headrace jobs submit": "saved out.bin",
    "headrace audit verify": "clean",
    "headrace quarantine list": "none has this name",
    "curl": "202",
}
"""The end of what some print, or words of it."""

INTERRUPTED = ("headrace policy shadow ",)
"""Those that go on until Ctrl-C."""


def named(table: Mapping[str, object], line: Line) -> list[str]:
    """The entries of the table that are about this command."""
    return [words for words in table if line.text == words or line.text.startswith(words + " ")]


def test_the_tables_have_an_entry_for_each_command_that_needs_one_and_no_other() -> None:
    lines = commands()
    assert len(lines) > 20
    for table in (ELSEWHERE, FILLED, BEFORE, PRINTED):
        used = {words for line in lines for words in named(table, line)}
        assert used == set(table), "stale entries"
    for line in lines:
        words = named(FILLED, line)
        assert set(FILLED[words[0]] if words else ()) == line.placeholders, line.text
        assert line.text.split()[0] in ("headrace", "curl") or named(ELSEWHERE, line), line.text
    assert all(any(line.text.startswith(words) for line in lines) for words in INTERRUPTED)


@pytest.mark.long
def test_every_command_of_the_readme_does_what_it_says(reader: Reader) -> None:
    lines = [line for line in commands() if not named(ELSEWHERE, line)]
    assert lines.count(Line(LAST)) == 1
    for line in lines:
        if line.text != LAST:
            run_one(reader, line)
    here = reader.here
    assert (reader.folder / "out.bin").stat().st_size == 1000
    job, api_url, running = a_job(reader), here.json("status")["api_url"], here.processes()
    assert len(running) > 8
    reader.run(LAST)
    _, alive = psutil.wait_procs(running, timeout=10)
    assert alive == []
    assert here.cli("status").returncode == 1
    here.start()
    assert here.json("status")["api_url"] == api_url
    here.json("clusters", "activate", "local")
    assert here.json("jobs", "watch", job)["job"]["state"] == "succeeded"
    assert here.json("jobs", "submit", "noop", "--wait")["job"]["state"] == "succeeded"
    assert [verdict["findings"] for verdict in here.json("audit", "verify")] == [[]]


def run_one(reader: Reader, line: Line) -> None:
    for words in named(BEFORE, line):
        BEFORE[words](reader)
    text = line.text
    for words in named(FILLED, line):
        for placeholder, value in FILLED[words].items():
            text = re.sub(rf"\b{placeholder}\b", value(reader), text)
    run = reader.run_until_interrupted if text.startswith(INTERRUPTED) else reader.run
    printed = run(text)
    for words in named(PRINTED, line):
        assert PRINTED[words] in printed, f"{text}\n{printed}"


@pytest.mark.parametrize(
    "file", ["README.md", "api/submissions.py", "docs/contract/asyncapi.json", "docs/contract/headrace.schema.json"]
)
def test_every_door_names_the_same_time_for_which_an_id_is_remembered(file: str) -> None:
    assert "`submission_age_max` (3 days" in (ROOT / file).read_text()
