"""What a person sees of a stack."""

from __future__ import annotations

import io

from rich.console import Console

from local.display import render
from local.status import PartStatus, StackStatus


def shown(status: StackStatus, width: int = 80) -> list[str]:
    screen = io.StringIO()
    Console(file=screen, width=width).print(render(status))
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def test_a_running_stack_shows_parts_places_and_what_is_wrong() -> None:
    data = "/srv/headrace"
    status = StackStatus(
        state="degraded",
        data=data,
        pid=1,
        api_url="http://127.0.0.1:8470",
        api_metrics_url="http://127.0.0.1:7/metrics",
        kafka="127.0.0.1:9",
        s3_endpoint="http://127.0.0.1:8",
        keys_file=f"{data}/keys.json",
        ready_after_ms=7_400,
        parts=[
            PartStatus(name="kafka", state="ready", port=9, pid=22),
            PartStatus(name="api", state="restarting", restarts=2, note="crashed (exit status 1); look at api.log"),
            PartStatus(name="relay", state="ready", note="crashed (exit status 1), but that was long ago"),
        ],
        warnings=["the disk is nearly full"],
        policy_warnings=["words_kept: 1 s"],
    )
    assert shown(status) == [
        "part   state       port  pid  crashes",
        "kafka  ready          9   22",
        "api    restarting                   2",
        "relay  ready",
        "",
        "stack degraded",
        f"data  {data}",
        "API   http://127.0.0.1:8470",
        "Kafka 127.0.0.1:9",
        "S3    http://127.0.0.1:8",
        f"keys  {data}/keys.json",
        "stats http://127.0.0.1:7/metrics",
        f"logs  {data}/logs",
        "api: crashed (exit status 1); look at api.log",
        "warning: the disk is nearly full",
        "warning: words_kept: 1 s",
    ]


def test_a_part_that_crashed_just_now_says_where_though_it_runs_again() -> None:
    note = "crashed (exit status 1): submissions/0/17: a record stops intake; look at intake.log"
    part = PartStatus(name="intake", state="ready", restarts=7, steady=False, note=note)
    assert f"intake: {note}" in shown(StackStatus(state="ready", data="/d", pid=1, parts=[part]), width=200)


def test_a_long_path_is_folded_and_not_cut() -> None:
    data = "/a/rather/long/path" * 6
    assert "".join(shown(StackStatus(state="stopped", data=data))[1:]) == f"data{data}"


def test_nothing_that_runs_is_short() -> None:
    assert shown(StackStatus(state="stopped", data="/d")) == ["stack stopped", "data  /d"]


def test_a_ready_stack_says_how_long_it_took() -> None:
    assert shown(StackStatus(state="ready", data="/d", pid=1, ready_after_ms=7_400))[0] == "stack ready after 7.4 s"
