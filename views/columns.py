"""What a column of the read models holds, and what becomes of a value that the column does not hold: pure.

A ledger is for ever, and the types of its readers are as wide as anything ever written there (design, rule 7): a number
of any size, text with a NUL, a name as long as a record. Postgres keeps less. So each row is checked before it is
stored. A job whose row does not fit is set aside (`misfit`). Of rows that belong to no single job (nodes, clusters,
versions, the policy, the evidence of an attempt) the nearest value that fits is stored (`fitted`). Only the views
change such a value, never the ledger.
"""

from __future__ import annotations

import types
import typing
from array import array
from collections.abc import Callable
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import msgspec

from contract.bounds import TEXT_MAX, mended

KEY_BYTES_MAX = TEXT_MAX
"""The most bytes of a text in an index: as many as the door of the scheduler takes. Postgres takes 2,700 bytes in all
columns of an index together, and no index of ours has more than two texts that are not our own names."""

_RANGES = {"bigint": (-(2**63), 2**63 - 1), "integer": (-(2**31), 2**31 - 1)}

Row = TypeVar("Row", bound=msgspec.Struct)


class ViewColumn(NamedTuple):
    name: str
    sql: str
    """The type in Postgres."""
    is_key: bool
    """Whether it is text in an index."""


@cache
def columns_of(row: type[msgspec.Struct]) -> tuple[ViewColumn, ...]:
    """The columns of a row type, in order."""
    hints = typing.get_type_hints(row, include_extras=True)
    return tuple(_column(name, hints[name]) for name in row.__struct_fields__)


def _column(name: str, hint: Any) -> ViewColumn:
    mark = getattr(hint, "__metadata__", ("",))[0]
    kind = getattr(hint, "__origin__", hint) if mark else hint
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    return ViewColumn(name, "integer" if mark == "integer" else _SQL[kind], mark == "key")


_SQL: dict[Any, str] = {
    str: "text",
    int: "bigint",
    bool: "boolean",
    tuple[str, ...]: "text[]",
    msgspec.Raw: "jsonb",
}


def misfit(row: msgspec.Struct) -> str:
    """Which column does not hold its value, and why, in our words. Empty: the row fits. Documents always fit."""
    return "" if _surely_fits(row) else _misfit(row)


class _Getters(NamedTuple):
    """What takes the values of one kind out of the values of a row."""

    texts: Callable[[tuple[Any, ...]], tuple[str, ...]]
    keys: Callable[[tuple[Any, ...]], tuple[str, ...]]
    bigs: Callable[[tuple[Any, ...]], tuple[int | None, ...]]
    smalls: Callable[[tuple[Any, ...]], tuple[int | None, ...]]
    lists: Callable[[tuple[Any, ...]], tuple[tuple[str, ...], ...]]


@cache
def _getters_of(row: type[msgspec.Struct]) -> _Getters:
    columns = columns_of(row)

    def those(sql: str, keys: bool = False) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
        places = [n for n, column in enumerate(columns) if column.sql == sql and (column.is_key or not keys)]
        if len(places) > 1:
            return itemgetter(*places)
        return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))

    return _Getters(those("text"), those("text", keys=True), those("bigint"), those("integer"), those("text[]"))


def _surely_fits(row: msgspec.Struct) -> bool:
    """A quick check, because every row of every event is checked. True: the row fits. False: `_misfit` has to look."""
    look, values = _getters_of(type(row)), msgspec.structs.astuple(row)
    try:
        array("q", filter(None, look.bigs(values)))
        array("i", filter(None, look.smalls(values)))
    except OverflowError:
        return False
    if max(map(len, look.keys(values))) > KEY_BYTES_MAX // 4:  # a character has four bytes at most
        return False
    return "\0" not in "".join(look.texts(values)) and "\0" not in "".join(chain(*look.lists(values)))


def _misfit(row: msgspec.Struct) -> str:
    for name, sql, is_key in columns_of(type(row)):
        value = getattr(row, name)
        if type(value) is int:
            least, most = _RANGES[sql]
            if not least <= value <= most:
                return f"{name} is a number of more than {'64' if sql == 'bigint' else '32'} bits"
        elif type(value) is str:
            if "\0" in value:
                return f"{name} is text with the character NUL"
            if is_key and not is_key_text(value):
                return f"{name} is text of more than {KEY_BYTES_MAX} bytes"
        elif type(value) is tuple and any("\0" in part for part in value):
            return f"{name} has text with the character NUL"
    return ""


def fitted(row: Row) -> Row:
    """The row itself when it fits, else a copy with the nearest values that fit."""
    if not misfit(row):
        return row
    return msgspec.structs.replace(row, **{c.name: _fitted(getattr(row, c.name), c) for c in columns_of(type(row))})


def is_key_text(text: str) -> bool:
    """Whether an index holds the text."""
    return "\0" not in text and len(text) <= KEY_BYTES_MAX and len(text.encode()) <= KEY_BYTES_MAX


def nearest_key(text: str) -> str:
    """The nearest text that an index holds."""
    return mended(text).encode()[:KEY_BYTES_MAX].decode(errors="ignore")


def nearest_number(value: int, sql: str = "bigint") -> int:
    """The nearest number that a column of this type holds."""
    least, most = _RANGES[sql]
    return max(least, min(value, most))


def jsonb_document(value: msgspec.Struct) -> msgspec.Raw:
    """The value as jsonb holds it: without NUL, which jsonb refuses anywhere."""
    encoded = msgspec.json.encode(value)
    if b"\\u0000" in encoded:
        encoded = msgspec.json.encode(_whole(msgspec.to_builtins(value)))
    return msgspec.Raw(encoded)


def _fitted(value: Any, column: ViewColumn) -> Any:
    if type(value) is int:
        return nearest_number(value, column.sql)
    if type(value) is str:
        return nearest_key(value) if column.is_key else mended(value)
    if type(value) is tuple:
        return tuple(map(mended, value))
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, dict):
        return {mended(name): _whole(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(part) for part in value]
    return value
