"""The whole stack: up, down, status, and what survives their end, by kill or by request."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from contract import codec, topics
from contract.inputs import PolicyApplied
from local import stack
from local.errors import AlreadyRunning, CannotStart
from local.options import Layout, Options
from local.ports import HOST, free_port
from local.status import StackStatus
from runtime import kafka
from tests.waiting import until

ATTENDED = """
import sys
from pathlib import Path
from local import stack
from local.options import Options
print(stack.up(Options(data=Path(sys.argv[1])), detach=False).state)
"""


def family(data: Path) -> list[psutil.Process]:
    """The supervisor and everything it started, directly or not."""
    supervisor = psutil.Process(stack.status(data).pid)
    return [supervisor, *supervisor.children(recursive=True)]


def gone(processes: list[psutil.Process]) -> bool:
    return psutil.wait_procs(processes, timeout=30)[1] == []


def pid_of(status: StackStatus, name: str) -> int:
    return next(part.pid for part in status.parts if part.name == name)


def asked(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Past the proxies of the environment."""
    return httpx.get(url, headers=headers, trust_env=False)


class Twice(NamedTuple):
    """Two stacks that were started at one moment with one port for the API."""

    running: Path
    refused: Path
    why: CannotStart


@pytest.fixture(scope="module")
def hostile() -> Iterator[None]:
    """An environment with proxies that nobody answers for, and a locale that knows ASCII only."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            environment.setenv(name, "http://127.0.0.1:9")
        environment.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
        environment.setenv("NO_PROXY", "localhost")
        environment.setenv("LC_ALL", "C")
        yield


@pytest.fixture(scope="module")
def twice(hostile: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twice]:
    port = free_port()
    folders = [tmp_path_factory.mktemp(name) / "ein Pfad, mit ümläut" for name in ("stack", "second")]

    def up(folder: Path) -> CannotStart | None:
        try:
            stack.up(Options(data=folder, api_port=port), detach=True)
        except CannotStart as error:
            return error
        return None

    try:
        with ThreadPoolExecutor(2) as both:
            ended = dict(zip(folders, both.map(up, folders), strict=True))
        (running,) = [folder for folder in folders if ended[folder] is None]
        (refused,) = [folder for folder in folders if folder != running]
        why = ended[refused]
        assert why is not None
        yield Twice(running, refused, why)
    finally:
        for folder in folders:
            stack.down(folder)


@pytest.fixture(scope="module")
def data(twice: Twice) -> Path:
    """The stack that runs."""
    return twice.running


def test_of_two_at_one_moment_with_one_port_the_second_ends_with_a_sentence(twice: Twice) -> None:
    port = stack.settings(twice.running).api_port
    assert f"expected port {port} on {HOST} to be free for api, found it in use by another process" in str(twice.why)
    assert stack.status(twice.running).state == "ready"
    assert stack.status(twice.refused).state == "stopped"
    ready = '"event": "ready"'
    assert ready in Layout(twice.running).supervisor_log.read_text()
    assert ready not in Layout(twice.refused).supervisor_log.read_text(), "it never took the other's API for its own"


def test_all_parts_are_ready_and_the_demo_key_works(data: Path) -> None:
    status = stack.status(data)
    assert (status.state, status.warnings, status.failure) == ("ready", [], None)
    assert {part.name: part.state for part in status.parts} == dict.fromkeys(
        ("kafka", "postgres", "s3", "scheduler", "api", "projector", "intake", "relay", "node-1", "cpu-1"), "ready"
    )
    keys = stack.keys(data)
    assert keys.tenant == "demo"
    headers = {"Authorization": f"Bearer {keys.api_key}"}
    assert asked(f"{status.api_url}/v1/models", headers=headers).status_code == 200
    assert asked(f"{status.api_url}/v1/models").status_code == 401


def test_secrets_are_for_the_owner_only(data: Path) -> None:
    layout = Layout(data)
    for path in (layout.keys, layout.settings, layout.s3 / "s3proxy.properties"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_every_process_has_a_log_of_its_own(data: Path) -> None:
    status = stack.status(data)
    logs = [part.log for part in status.parts]
    assert len(set(logs)) == len(logs)
    assert all(Path(log).exists() for log in logs)


def test_a_second_up_on_the_same_data_is_refused_and_changes_nothing(data: Path) -> None:
    before = stack.status(data)
    with pytest.raises(AlreadyRunning, match=f"process {before.pid}, API at {before.api_url}"):
        stack.up(Options(data=data), detach=True)
    assert stack.status(data).parts == before.parts


def test_a_killed_part_is_started_again_and_counted(data: Path) -> None:
    first = pid_of(stack.status(data), "projector")
    os.kill(first, signal.SIGKILL)
    until(lambda: pid_of(stack.status(data), "projector") not in (0, first))
    until(lambda: stack.status(data).state == "ready")
    part = next(part for part in stack.status(data).parts if part.name == "projector")
    assert part.restarts == 1
    assert "exit status -9" in part.note


def test_a_killed_supervisor_leaves_nothing_and_its_data_is_picked_up(data: Path) -> None:
    before = stack.status(data)
    processes = family(data)
    assert len(processes) > len(before.parts)
    processes[0].kill()
    assert gone(processes)
    assert stack.status(data).state == "stopped"
    after = stack.up(Options(data=data), detach=True)
    assert after.warnings == []
    assert (after.api_url, after.kafka) == (before.api_url, before.kafka)
    headers = {"Authorization": f"Bearer {stack.keys(data).api_key}"}
    assert asked(f"{after.api_url}/v1/models", headers=headers).status_code == 200
    brokers = stack.settings(data).brokers
    begin, end = kafka.offsets(brokers, topics.JOBS, 0)
    records = [codec.decode_wire(r.value) for r in kafka.read_range(brokers, topics.JOBS, 0, begin, end)]
    assert sum(isinstance(record, PolicyApplied) for record in records) == 1


def test_a_policy_file_for_data_that_has_a_policy_is_said_not_to_be_read(data: Path, tmp_path: Path) -> None:
    """And `down` leaves no process behind, `up` starts what it stopped and shuts what an older release left open."""
    processes = family(data)
    assert stack.down(data)
    assert gone(processes)
    assert stack.status(data).state == "stopped"
    assert stack.down(data) is False
    policy = tmp_path / "policy.yaml"
    policy.write_text((Path(__file__).parents[3] / "examples" / "policies" / "local.yaml").read_text())
    segments = Layout(data).kafka / "log" / "jobs-0"
    opened = [segments.parent, segments, *segments.glob("*.log")]
    for path in (data, *opened):
        path.chmod(path.stat().st_mode | 0o055)
    status = stack.up(Options(data=data, policy=policy), detach=True)
    assert stat.S_IMODE(data.stat().st_mode) == stat.S_IMODE(segments.stat().st_mode) == 0o700
    assert [warning.split(" were for group or others to read")[0] for warning in status.warnings] == [
        f"{len(opened)} files of {data}",
        f"{policy} was not read: this data has a policy; `headrace policy apply` changes it",
    ]


def test_a_configured_port_in_use_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with (
        socket.create_server((HOST, 0)) as server,
        pytest.raises(CannotStart, match=rf"port {server.getsockname()[1]} .*--api-port"),
    ):
        stack.up(Options(data=tmp_path, api_port=server.getsockname()[1]), detach=True)
    status = stack.status(tmp_path)
    assert status.state == "stopped"
    assert status.failure is not None


def test_a_policy_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("tiers: {free: {slo: 0s}}\n")
    with pytest.raises(CannotStart, match="line 1"):
        stack.up(Options(data=tmp_path / "data", policy=tmp_path / "policy.yaml"), detach=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_in_the_foreground_it_ends_with_its_terminal(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C stops it in order; a terminal that is killed takes it along too."""
    up = subprocess.Popen([sys.executable, "-c", ATTENDED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    until(lambda: any(part.state == "ready" for part in stack.status(tmp_path).parts), within_s=120)
    processes = family(tmp_path)
    up.send_signal(number)
    output, _ = up.communicate(timeout=120)
    assert gone(processes)
    assert stack.status(tmp_path).state == "stopped"
    if number == signal.SIGINT:
        assert output.rstrip().endswith("stopped")
