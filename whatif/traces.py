"""Traces: lists of arrivals in files, as the documented CSV (docs/traces.md) or as one of the public traces. Each may
also be JSON lines, with fields instead of columns."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO, cast

import msgspec

from contract.bounds import TIME_MS_MAX, visible
from contract.names import is_name
from whatif.public_traces import PUBLIC_FORMATS, PublicFormat, job_of_row
from whatif.simulation.arrivals import Arrivals

COLUMNS = ("arrival", "tier", "tenant", "model", "service_seconds")
"""Columns of the documented CSV; other columns are passed over."""

CLOCK_SET_BACK_MS = 3_600_000
"""How far clocks go back when summer time ends."""
DISORDER_MS_MAX = 60_000
"""Rows that are out of order by less than this are what many writers of one file leave, and no clock set back."""

SERVICE_S_MAX = 31 * 86_400.0
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
_TOKENS = re.compile(r"[0-9]{1,7}")


class TraceUnreadable(ValueError):
    """The file is not a trace. The message names line and column, what was expected and what was found."""


class Trace(NamedTuple):
    arrivals: Arrivals
    passed_over: tuple[str, ...]
    """The columns of which nothing is made."""


def read(path: Path) -> Arrivals:
    """Reads a trace from a file, `.gz` or plain, documented or public. TraceUnreadable; OSError."""
    return read_whole(path).arrivals


def read_whole(path: Path) -> Trace:
    """As `read`, with what of the file was not used. The file is read once, so it may be a pipe."""
    with _opened(path) as file:
        return TraceReader(path, file).trace()


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """The file as text. TraceUnreadable when it turns out not to be text, or no whole gzip file; OSError."""
    try:
        with _open(path) as file:
            yield file
    except UnicodeDecodeError as error:
        line = _undecodable_line(path)
        raise TraceUnreadable(
            f"{path} line {line}: expected a CSV file in UTF-8, found other bytes ({error.reason})"
        ) from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise TraceUnreadable(f"{path}: expected a whole gzip file, found a broken one ({error})") from None


def write(arrivals: Arrivals, file: TextIO) -> None:
    """Writes the documented CSV, with times in seconds since the first arrival."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    first_ms = arrivals.at_ms[0] if arrivals else 0
    for job in arrivals:
        writer.writerow((_seconds(job.at_ms - first_ms), job.tier, job.tenant, job.model, _seconds(job.service_ms)))


def _open(path: Path) -> TextIO:
    """The file as text, without a byte order mark."""
    return io.TextIOWrapper(_open_bytes(path), encoding="utf-8-sig", newline="")


def _open_bytes(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _undecodable_line(path: Path) -> int:
    with _open_bytes(path) as file:
        for line, raw in enumerate(file, 1):
            try:
                raw.decode()
            except UnicodeDecodeError:
                return line
    return 1


def _seconds(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03d}"


class JsonLines:
    """Objects of JSON, one a line, as the rows of a csv.reader: first the names in the first object, then the values of
    each. A row raises MsgspecError when its line is no object."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.line_num = 0
        self._lines = lines
        self._names: list[str] = []
        self._first = ""

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        if not self._names:
            self._first = next(self._lines)
            self._names = list(_fields(self._first))
            return self._names
        line, self._first = self._first or next(self._lines), ""
        self.line_num += 1
        fields = _fields(line) if line.strip() else {}
        return [fields.get(name, "") for name in self._names] if fields else []


def _fields(line: str) -> dict[str, str]:
    """By name, strings as they are, and other values as they are written."""
    fields = msgspec.json.decode(line.encode("utf-8", "surrogatepass"), type=dict[str, msgspec.Raw])
    return {name: _written(bytes(value)) for name, value in fields.items()}


def _written(value: bytes) -> str:
    return msgspec.json.decode(value, type=str) if value.startswith(b'"') else value.decode()


class TraceReader:
    """Reads one trace, row by row."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path = path
        first = file.readline()
        lines = chain([first] if first else [], file)
        is_json = first.startswith("{")
        self._kind = "an object of JSON" if is_json else "a row of CSV"
        self._rows = JsonLines(lines) if is_json else csv.reader(lines, strict=True)
        self._line = 1
        """The line on which the current row begins."""
        self._dated = False
        """The first arrival is a time in ISO 8601, so every other arrival must be one too."""
        self._has_offsets = True
        """Every arrival so far that is a time says how far it is from UTC."""
        self._made = Arrivals()

    def trace(self) -> Trace:
        """Reads the whole trace, in the form whose columns the header has most of. TraceUnreadable."""
        header, names, take = self._form()
        return Trace(self._all(header, names, take), tuple(name for name in header if name not in names))

    def _form(self) -> tuple[list[str], Sequence[str], Callable[[list[str], int], None]]:
        """(the header, the columns to read, what takes them)."""
        header = [name.strip() for name in next(self._lines(), [])]
        forms = [(COLUMNS, self._documented), *((public[:3], self._public(public)) for public in PUBLIC_FORMATS)]
        names, take = max(forms, key=lambda form: len(set(form[0]) & set(header)))
        for name in names:
            if header.count(name) != 1:
                found = visible(", ".join(header)[:200]) or "an empty line"
                if name in header:
                    found = f"{header.count(name)} of that name"
                expected = f"the columns {', '.join(names)}" + (" (docs/traces.md)" if names is COLUMNS else "")
                raise self._wrong(name, expected, found)
        return header, names, take

    def _all(self, header: list[str], names: Sequence[str], take: Callable[[list[str], int], None]) -> Arrivals:
        places = [header.index(name) for name in names]
        number = 0
        for row in self._lines():
            if not row:
                continue
            if len(row) != len(header):
                raise self._wrong(header[min(len(row), len(header) - 1)], f"{len(header)} columns", f"{len(row)}")
            number += 1
            take([row[place].strip() for place in places], number)
        if not number:
            raise TraceUnreadable(f"{self._path} line 2: expected at least one job, found none")
        return self._made

    def _lines(self) -> Iterator[list[str]]:
        while True:
            self._line = self._rows.line_num + 1
            try:
                row = next(self._rows)
            except StopIteration:
                return
            except (csv.Error, msgspec.MsgspecError) as error:
                raise TraceUnreadable(f"{self._path} line {self._line}: expected {self._kind}; {error}") from None
            yield row

    def _documented(self, fields: list[str], number: int) -> None:
        arrival, tier, tenant, model, service = fields
        for column, name in zip(COLUMNS[1:4], (tier, tenant, model), strict=True):
            if not is_name(name):
                raise self._wrong(column, "a name (lower case letters, digits, '.', '_', '-')", repr(name[:80]))
        self._add("arrival", self._moment("arrival", arrival, 1), tier, tenant, model, self._run_ms(service))

    def _run_ms(self, text: str) -> int:
        seconds = float(text) if _NUMBER.fullmatch(text) else math.inf
        if seconds > SERVICE_S_MAX:
            expected = f"a number from 0 to {SERVICE_S_MAX:,.0f} seconds"
            raise self._wrong("service_seconds", expected, repr(text[:80]))
        return round(seconds * 1000)

    def _public(self, public: PublicFormat) -> Callable[[list[str], int], None]:
        def take(fields: list[str], number: int) -> None:
            at_ms = self._moment(public.arrival, fields[0], public.per_second)
            inputs, outputs = (self._tokens(column, text) for column, text in zip(public[1:3], fields[1:], strict=True))
            job = job_of_row(f"{number},{','.join(fields)}", inputs, outputs)
            self._add(public.arrival, at_ms, job.tier, job.tenant, job.model, job.service_ms)

        return take

    def _add(self, column: str, at_ms: int, tier: str, tenant: str, model: str, service_ms: int) -> None:
        made = self._made
        if made.at_ms and at_ms < made.at_ms[-1]:
            raise self._wrong(column, "a time no earlier than the row before it", self._back(made.at_ms[-1] - at_ms))
        made.add(at_ms, tier, tenant, model, service_ms)

    def _back(self, by_ms: int) -> str:
        """What is found when an arrival is earlier than the arrival before it. Local times without an offset go back
        by up to an hour where summer time ends, and sorting such rows would mix two hours."""
        found = f"one {_seconds(by_ms)} s earlier"
        if self._dated and not self._has_offsets and DISORDER_MS_MAX < by_ms <= CLOCK_SET_BACK_MS:
            return (
                f"{found}: these times have no offset from UTC, and here their clock was set back, as when summer time"
                " ends; write the times in UTC, or each with its offset (+02:00, +01:00). Sort the file only if its"
                " clock was never set back"
            )
        return f"{found}; sort the file"

    def _moment(self, column: str, text: str, per_second: int) -> int:
        """An arrival in ms. A number counts seconds or, in some columns, ms; anything else is ISO 8601, in UTC unless
        it says otherwise."""
        expected = "seconds or a time in ISO 8601"
        dated = _NUMBER.fullmatch(text) is None
        if self._made.at_ms and dated != self._dated:
            expected = "a time in ISO 8601, like the rows before" if self._dated else "a number, like the rows before"
        else:
            self._dated = dated
            try:
                at_ms = self._moment_ms(text) if dated else round(float(text) * 1000 / per_second)
                if 0 <= at_ms <= TIME_MS_MAX:
                    return at_ms
                expected += " between 1970 and 9999"
            except (ValueError, OverflowError):
                pass
        raise self._wrong(column, expected, repr(text[:80]))

    def _moment_ms(self, text: str) -> int:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            self._has_offsets = False
            moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)

    def _tokens(self, column: str, text: str) -> int:
        if _TOKENS.fullmatch(text) is None:
            raise self._wrong(column, "a whole number of tokens, at most 9,999,999", repr(text[:80]))
        return int(text)

    def _wrong(self, column: str, expected: str, found: str) -> TraceUnreadable:
        place = f"{self._path} line {self._line} column {visible(column[:80])}"
        return TraceUnreadable(f"{place}: expected {expected}, found {found}")
