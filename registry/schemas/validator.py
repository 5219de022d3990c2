"""Validators: a schema made ready to check values within a bound of time; and the validators of versions, kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import jsonschema_rs

from registry.answers import Answers
from registry.schemas import faults, parts, patterns, references
from registry.schemas.faults import ValueFault
from registry.schemas.parts import SchemaPart, SchemaRefused
from registry.schemas.program import UNIONS, WHOLE, SchemaProgram
from registry.schemas.weight import WORK_MAX, LevelSize, SchemaWeight

KEPT_PARTS_MAX = 50_000
"""Parts of all kept validators, about 250 MiB. A refused schema counts as one part."""
_LEAST = LevelSize(values=50, whole=10, long=0, fractions=10, extremes=0, text_bytes=500)
"""At one depth. A schema that cannot check values of this size in time is of no use."""

T = TypeVar("T")


class Validator:
    """Says whether values fit one JSON Schema of draft 2020-12. Any thread may use it."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """SchemaRefused, with place and reason, for a schema that no door takes."""
        found = parts.read_parts(schema)
        self._root = found[()]
        self.parts = len(found)
        """How many schemas it contains. Each takes about 5 KiB while the validator is kept."""
        circular = references.resolve(found)
        self._weight = SchemaWeight(self._root, circular, patterns.program_sizes(found))
        if any(_LEAST.work(self._weight.cost(depth)) > WORK_MAX for depth in range(4)):
            raise SchemaRefused(
                (),
                "expected a schema that can check 50 values, 500 bytes of text among them, at least,"
                f" in {WORK_MAX} steps, found one that takes more; use fewer patterns, unions and lists of values",
            )
        self._program, self._engine = _compiled(found.values(), self._root, explaining=False)
        self._explainer = self._engine
        if any(word in part.schema for part in found.values() for word in UNIONS):
            self._program, self._explainer = _compiled(found.values(), self._root, explaining=True)

    def work(self, value: Any) -> float:
        """The most work that checking the value takes, in units of about 10 ns. Summed up to WORK_MAX only."""
        return self._weight.work(value)

    def fault(self, value: Any) -> ValueFault | None:
        """Where the value, as contract.codec.decode_values made it, does not fit; None when it fits. Raises nothing.
        Takes about 50 ms at most: a value whose check would take longer has a fault for that."""
        if self.work(value) > WORK_MAX:
            return faults.too_much()
        return None if self._fits(value) else self._explained(value)

    def _fits(self, value: Any) -> bool:
        return _without_panic(lambda: bool(self._engine.is_valid(value)), otherwise=False)

    def _explained(self, value: Any) -> ValueFault:
        error = _without_panic(lambda: _first_error(self._explainer, value), otherwise=None)
        if error is None:
            return faults.fault_at(self._root, "", (), value)
        part, word = self._program.place(error.evaluation_path)
        path, found = _followed(value, error.instance_path)
        if faults.is_unwhole(found) and (
            (error.absolute_keyword_location or "").startswith(WHOLE) or self._fits(_replaced(value, path, int(found)))
        ):
            return faults.fault_unwhole(part, word, path, found)
        return faults.fault_at(part, word, path, found)


class Validators:
    """A validator for each version, kept: the schema of a version never changes. Threads may share it."""

    def __init__(self) -> None:
        self._validators: Answers[str, Validator | SchemaRefused] = Answers(KEPT_PARTS_MAX, size_of=_parts_of)

    def knows(self, version: str) -> bool:
        """Whether the validator of this version is kept. Making one takes up to a second."""
        return self._validators.kept(version) is not None

    def fault(self, version: str, schema: dict[str, Any], value: Any) -> ValueFault | None:
        """As Validator.fault. SchemaRefused when no door takes the schema of the version."""
        validator = self._validators.get(version, lambda: _validator_of(schema))
        if isinstance(validator, SchemaRefused):
            raise SchemaRefused(validator.path, str(validator))
        return validator.fault(value)


def _validator_of(schema: dict[str, Any]) -> Validator | SchemaRefused:
    try:
        return Validator(schema)
    except SchemaRefused as refused:
        return refused


def _parts_of(validator: Validator | SchemaRefused) -> int:
    return validator.parts if isinstance(validator, Validator) else 1


def _compiled(
    found: Iterable[SchemaPart], root: SchemaPart, *, explaining: bool
) -> tuple[SchemaProgram, jsonschema_rs.Draft202012Validator]:
    program = SchemaProgram(found, root, explaining=explaining)
    try:
        return program, program.compile()
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise SchemaRefused((), f"expected a schema that can be compiled; {error.args[0]!s:.200}") from None


def _first_error(engine: jsonschema_rs.Draft202012Validator, value: Any) -> jsonschema_rs.ValidationError | None:
    try:
        engine.validate(value)
    except jsonschema_rs.ValidationError as error:
        return error
    return None


def _without_panic(call: Callable[[], T], otherwise: T) -> T:
    """`otherwise` when the engine has a defect. Its panics are not of class Exception, and would end the process."""
    try:
        return call()
    except ValueError:
        return otherwise
    except BaseException as error:  # the library panics beside Exception; all else is raised again
        if type(error).__name__ != "PanicException":
            raise
        return otherwise


def _followed(value: Any, path: Iterable[str | int]) -> tuple[list[str | int], Any]:
    """How far a path of the engine can be followed into the value, and the value there. The engine spells some names of
    properties alike, so a path may lead nowhere."""
    followed: list[str | int] = []
    for step in path:
        if isinstance(value, dict) and str(step) in value:
            followed.append(str(step))
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            followed.append(step)
        else:
            break
        value = value[followed[-1]]
    return followed, value


def _replaced(value: Any, path: list[str | int], new: Any) -> Any:
    """A copy of the value with `new` at the path."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy
