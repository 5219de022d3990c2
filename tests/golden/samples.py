"""One filled-in sample of every record type, from which the golden bytes were made."""

from __future__ import annotations

import types
import typing
from typing import Any, get_args, get_origin

import msgspec


def sample(kind: type[msgspec.Struct]) -> msgspec.Struct:
    """A record of `kind` in which every field has a telling value."""
    hints = typing.get_type_hints(kind)
    return kind(**{field.name: _value(hints[field.name], field.name) for field in msgspec.structs.fields(kind)})


def _value(hint: Any, name: str) -> Any:
    origin = get_origin(hint)
    if hint is str:
        return f"a {name}"
    if hint is bool:
        return True
    if hint is int:
        return 7 + len(name)
    if hint is float:
        return 0.25
    if hint is msgspec.Raw:
        return msgspec.Raw(b'{"prompt":"a red ball"}')
    if isinstance(hint, types.UnionType) or origin is typing.Union:
        return _value(get_args(hint)[0], name)
    if origin is tuple:
        return tuple(_value(arm, name) for arm in _arms(get_args(hint)[0]))
    if origin is dict:
        return {"a-name": _value(get_args(hint)[1], name)}
    return sample(hint)


def _arms(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, types.UnionType) or get_origin(hint) is typing.Union else (hint,)
