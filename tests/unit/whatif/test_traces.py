"""Traces in files: the documented CSV, public traces, and what is said of a bad trace."""

from __future__ import annotations

import gzip
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.whatif.public_traces import AZURE
from whatif import traces
from whatif.simulation.arrivals import Arrival, Arrivals
from whatif.traces import TraceUnreadable

MOONCAKE = (
    '{"timestamp": 0, "input_length": 2701, "output_length": 292, "hash_ids": [0, 1]}\n'
    '{"timestamp": 3000, "input_length": 1533, "output_length": 131, "hash_ids": [1, 2]}\n'
)
HEADER = "arrival,tier,tenant,model,service_seconds\n"


def written(tmp_path: Path, text: str, name: str = "jobs.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_documented_csv_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "0.5,api,acme,film,12.5\n0.84,free,studio,song,4\n")
    assert list(traces.read(path)) == [
        Arrival(500, "api", "acme", "film", 12_500),
        Arrival(840, "free", "studio", "song", 4_000),
    ]


def test_columns_may_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    path = written(tmp_path, "note,model,service_seconds,arrival,tenant,tier\nx,film,1,2,acme,api\n")
    assert list(traces.read(path)) == [Arrival(2_000, "api", "acme", "film", 1_000)]


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-11-24T12:00:03.120+01:00", 1_795_518_003_120),
        ("2026-11-24 11:00:03.1200000", 1_795_518_003_120),
        ("1795518003.12", 1_795_518_003_120),
    ],
)
def test_arrivals_may_be_times(tmp_path: Path, text: str, at_ms: int) -> None:
    path = written(tmp_path, f"{HEADER}{text},api,acme,film,1\n")
    assert traces.read(path)[0].at_ms == at_ms


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    given = Arrivals()
    given.add(5_000, "api", "acme", "film", 1_234)
    given.add(5_007, "free", "acme", "song", 0)
    out = io.StringIO()
    traces.write(given, out)
    path = tmp_path / "jobs.csv.gz"
    path.write_bytes(gzip.compress(out.getvalue().encode()))
    assert list(traces.read(path)) == [job._replace(at_ms=job.at_ms - 5_000) for job in given]


def test_a_public_trace_is_made_whole_by_the_documented_rule(tmp_path: Path) -> None:
    """The hashes of `1,2023-11-16 18:17:03.9799600,4808,10` and of the second row say 48 of 100 and 13, 10 and 17."""
    first, second = traces.read(written(tmp_path, AZURE))
    assert (first.service_ms, first.model) == (2_000 + 2_404 + 400, "large")
    assert (second.service_ms, second.model) == (2_000 + 55 + 1_080, "small")
    assert second.at_ms - first.at_ms == 50
    assert [(job.tier, job.tenant) for job in (first, second)] == [
        ("unlimited", "tenant13"),
        ("enterprise", "tenant17"),
    ]


def test_times_in_ms_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "timestamp_ms,input_length,output_length\n0,6758,500\n3000,10,10\n")
    assert [job.at_ms for job in traces.read(path)] == [0, 3_000]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "arrival,tier,model\n",
            "line 1 column tenant: expected the columns arrival, tier, tenant, model, service_sec",
        ),
        ("arrival,tier,tenant,model\n0,a,b,c\n", "line 1 column service_seconds: expected the columns"),
        (
            "TIMESTAMP,ContextTokens\n",
            "line 1 column GeneratedTokens: expected the columns TIMESTAMP, ContextTokens, G",
        ),
        ("arrival," + HEADER, "line 1 column arrival: expected the columns"),
        ("", "line 1 column arrival: expected the columns"),
        ("\n", "found an empty line"),
        (HEADER, "line 2: expected at least one job"),
        (
            HEADER + "0,api,acme,film,1\n5,api,acme,film,1\n4,api,acme,film,1\n",
            "line 4 column arrival: expected a time",
        ),
        (HEADER + "0,api,acme,film,-1\n", "line 2 column service_seconds: expected a number from 0 to"),
        (
            HEADER + "0,api,acme,film,soon\n",
            "line 2 column service_seconds: expected a number from 0 to 2,678,400 seconds, found 'soon'",
        ),
        (HEADER + "0,api,acme,film,nan\n", "line 2 column service_seconds: expected a number"),
        (HEADER + "soon,api,acme,film,1\n", "line 2 column arrival: expected seconds or a time"),
        (HEADER + "-1,api,acme,film,1\n", "line 2 column arrival: expected seconds or a time"),
        (HEADER + "0,API,acme,film,1\n", "line 2 column tier: expected a name"),
        (HEADER + "0,api,acme,film\n", "line 2 column service_seconds: expected 5 columns, found 4"),
        (HEADER + "0,api,acme,film,1,2\n", "line 2 column service_seconds: expected 5 columns, found 6"),
        (
            HEADER + '"0,5",api,acme,film,1\n',
            "line 2 column arrival: expected seconds or a time in ISO 8601, found '0,5'",
        ),
        (HEADER + '0,"api,acme,film,1\n1,', "line 2: expected a row of CSV; unexpected end of data"),
        (HEADER + '"0\n",api,acme,film,1\n1,api\n', "line 4 column tenant: expected 5 columns, found 2"),
        (HEADER + "\n\n0,api,acme,film,soon\n", "line 4 column service_seconds: expected a number"),
        (HEADER + "1_0,api,acme,film,1\n", "line 2 column arrival: expected seconds or a time"),
        (
            HEADER + "1e18,api,acme,film,1\n",
            "column arrival: expected seconds or a time in ISO 8601 between 1970 and 9999",
        ),
        (HEADER + "1e999,api,acme,film,1\n", "column arrival: expected seconds or a time in ISO 8601"),
        (
            HEADER + "0001-01-01T00:00:00,api,acme,film,1\n",
            "column arrival: expected seconds or a time in ISO 8601 betw",
        ),
        (
            HEADER + "0,api,acme,film,1\n2026-11-24T12:00:00Z,api,acme,film,1\n",
            "line 3 column arrival: expected a number, like the rows before, found '2026-11-24T12:00:00Z'",
        ),
        (
            '{"timestamp": 0, "input_length": 1}\n',
            "line 1 column output_length: expected the columns timestamp, input_l",
        ),
        (MOONCAKE + '{"timestamp": 9, "input_length": 1}\n', "line 3 column output_length: expected a whole number"),
        (MOONCAKE + "9,1,1\n", "line 3: expected an object of JSON; "),
        (
            MOONCAKE + '{"timestamp": 2999, "input_length": 1, "output_length": 1}\n',
            "line 3 column timestamp: expected a",
        ),
        (MOONCAKE + '\n{"timestamp": "x"}\n', "line 4 column timestamp: expected a number, like the"),
        ("{", "line 1: expected an object of JSON; "),
        ("{}\n", "line 1 column arrival: expected the columns"),
        ("{" * 100_000, "line 1: expected an object of JSON; "),
        ("timestamp_ms,input_length,output_length\n0,99999999,1\n", "column input_length: expected a whole number"),
        ("timestamp_ms,input_length,output_length\n0,\u00b2,1\n", "column input_length: expected a whole number"),
        ("timestamp_ms,input_length,output_length\n0,-5,1\n", "line 2 column input_length: expected a whole number"),
    ],
)
def test_a_bad_trace_is_refused_by_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TraceUnreadable) as refused:
        traces.read(written(tmp_path, text))
    assert said in str(refused.value)
    assert "jobs.csv" in str(refused.value)


def test_bytes_that_are_no_trace_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_bytes(HEADER.encode() + b"0,api,acm\xe9,film,1\n")
    with pytest.raises(TraceUnreadable, match=r"jobs.csv line 2: expected a CSV file in UTF-8"):
        traces.read(path)
    broken = tmp_path / "jobs.csv.gz"
    broken.write_bytes(gzip.compress(HEADER.encode() * 100)[:40])
    with pytest.raises(TraceUnreadable, match="gzip"):
        traces.read(broken)
    broken.write_bytes(gzip.compress(HEADER.encode() * 100).replace(b"\x01", b"\x02")[:30] + bytes(40))
    with pytest.raises(TraceUnreadable, match="gzip"):
        traces.read(broken)


def test_a_byte_order_mark_and_other_ends_of_lines_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (HEADER + '"0.5",api,acme,film,12.5\n').replace("\n", "\r\n").encode())
    assert list(traces.read(path)) == [Arrival(500, "api", "acme", "film", 12_500)]


def test_json_lines_are_read_as_the_same_columns_are(tmp_path: Path) -> None:
    """Case S7: Mooncake as published. Its slim form is the same rows."""
    slim = "timestamp_ms,input_length,output_length\n0,2701,292\n3000,1533,131\n"
    trace = traces.read_whole(written(tmp_path, MOONCAKE))
    assert list(trace.arrivals) == list(traces.read(written(tmp_path, slim)))
    assert trace.passed_over == ("hash_ids",)
    named = '{"arrival": "0.5", "tier": "api", "tenant": "acme", "model": "film", "service_seconds": 12.5}\n'
    assert list(traces.read(written(tmp_path, named))) == [Arrival(500, "api", "acme", "film", 12_500)]


PUBLISHED = {
    "azure 2024": ("TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.000000+00:00,1500,10\n", ()),
    "azure 2025": (
        "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n2024-10-15 00:00:00.1,3,1500,10\n",
        ("NumImages",),
    ),
    "burstgpt": (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,GPT-4,1500,10,1510,API log\n",
        ("Model", "Total tokens", "Log Type"),
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_traces_are_read_as_published_and_say_what_is_passed_over(tmp_path: Path, name: str) -> None:
    text, passed_over = PUBLISHED[name]
    trace = traces.read_whole(written(tmp_path, text))
    assert [(job.service_ms, job.model) for job in trace.arrivals] == [(2_000 + 750 + 400, "medium")]
    assert trace.passed_over == passed_over


@pytest.mark.parametrize(
    ("before", "after", "is_clock"),
    [
        ("2026-10-25T02:59:50", "2026-10-25T02:00:10", True),
        ("2026-10-25 02:59:50", "2026-10-25 01:59:50", True),
        ("2026-10-25T02:59:50", "2026-10-25T01:59:49", False),
        ("2026-10-25T02:59:50", "2026-10-25T02:59:49", False),
        ("2026-10-25T02:59:50Z", "2026-10-25T02:00:10Z", False),
        ("7200", "3610", False),
    ],
)
def test_a_clock_set_back_is_named_as_what_it_is(tmp_path: Path, before: str, after: str, is_clock: bool) -> None:
    rows = [f"{moment},api,acme,film,1\n" for moment in (before, after)]
    with pytest.raises(TraceUnreadable, match="line 3 column arrival: expected a time no earlier") as refused:
        traces.read(written(tmp_path, HEADER + "".join(rows)))
    assert ("their clock was set back, as when summer time ends" in str(refused.value)) == is_clock
    assert str(refused.value).endswith("; sort the file") != is_clock


def test_times_with_their_offsets_go_on_when_summer_time_ends(tmp_path: Path) -> None:
    rows = [f"{at},api,acme,film,1\n" for at in ("2026-10-25T02:59:50+02:00", "2026-10-25T02:00:10+01:00")]
    first, second = traces.read(written(tmp_path, HEADER + "".join(rows)))
    assert second.at_ms - first.at_ms == 20_000


def test_a_trace_may_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as writer:
        writer.submit(pipe.write_text, PUBLISHED["azure 2025"][0])
        trace = traces.read_whole(pipe)
    assert (len(trace.arrivals), trace.passed_over) == (1, ("NumImages",))
