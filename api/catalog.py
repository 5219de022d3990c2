"""What a model reference means, and whether a model takes given inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import msgspec
from jsonschema.exceptions import ValidationError
from sqlalchemy import Engine

from api.problems import RETRY_AFTER_S, Problem
from registry import models
from registry.errors import RegistryError
from registry.input_schemas import InputSchemas
from registry.models import Version

TTL_S = 1.0
"""So long an answer is kept. The scheduler pins the version; here it only chooses the pool and checks the inputs."""
KEPT_MAX = 1_000
NAMED_MAX = 20
SAID_CHARACTERS_MAX = 200

InThread = Callable[..., Coroutine[Any, Any, Any]]


class Catalog:
    def __init__(self, engine: Engine, in_thread: InThread) -> None:
        self._engine = engine
        self._in_thread = in_thread
        self._resolved: dict[str, tuple[float, Version]] = {}
        self._schemas = InputSchemas()

    async def resolve(self, reference: str) -> Version:
        """The version that a job submitted now would run. Problem 404, 422, or 503 while the scheduler is not told."""
        at_s, version = self._resolved.get(reference, (float("-inf"), None))
        if version is None or time.monotonic() - at_s > TTL_S:
            version = await self._ask(reference)
            if version.relayed:
                if len(self._resolved) >= KEPT_MAX:
                    self._resolved.clear()
                self._resolved[reference] = (time.monotonic(), version)
        if not version.relayed:
            raise Problem(
                503,
                "model-not-ready",
                f"{reference[:SAID_CHARACTERS_MAX]} was published a moment ago and its scheduler has not been told"
                " yet: try again",
                retry_after_s=RETRY_AFTER_S,
            )
        return version

    def check_inputs(self, version: Version, inputs: Any) -> None:
        """Problem 422 with the path of the first fault, what was expected and what was found."""
        fault = self._schemas.fault(version, inputs)
        if fault is not None:
            path = path_of(["inputs", *fault.absolute_path])
            expected, found = expected_and_found(fault)
            raise Problem(
                422,
                "inputs-invalid",
                f"{path}: expected {expected}, found {found}; see the schema at /v1/models/{version.model}",
                path=path,
                expected=expected,
                found=found,
            )

    async def _ask(self, reference: str) -> Version:
        try:
            version: Version = await self._in_thread(models.resolve, self._engine, reference)
        except RegistryError as error:
            raise await self._problem(reference, error) from None
        return version

    async def _problem(self, reference: str, error: RegistryError) -> Problem:
        said = reference[:SAID_CHARACTERS_MAX]
        name = reference.partition("@")[0]
        if error.code == "invalid":
            return Problem(422, "model-reference-invalid", f"model: {error}")
        if error.code == "unknown_model":
            known = [model.name for model in await self._in_thread(models.listed, self._engine)]
            return _unknown("model", said, known)
        if error.code in ("unknown_alias", "unknown_version"):
            model = await self._in_thread(models.show, self._engine, name)
            if error.code == "unknown_alias":
                return _unknown("alias", said, [f"{name}@{alias.alias}" for alias in model.aliases])
            return _unknown("version", said, [f"{name}@{digest}" for digest in model.versions])
        raise error


def _unknown(noun: str, reference: str, known: Iterable[str]) -> Problem:
    names = list(known)
    listed = ", ".join(names[:NAMED_MAX]) or "none"
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    detail = f"there is no {noun} {reference!r}; there is: {listed}{more}"
    return Problem(404, f"unknown-{noun}", detail, known=names[:NAMED_MAX])


def path_of(parts: Iterable[str | int]) -> str:
    """`inputs.frames[2].text`."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path[:SAID_CHARACTERS_MAX]


_TYPES = {
    str: "string",
    bool: "boolean",
    type(None): "null",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
}


def expected_and_found(fault: ValidationError) -> tuple[str, str]:
    """What the schema asks for, and what the inputs have, without quoting the inputs."""
    value: Any = fault.validator_value
    found: Any = fault.instance
    rule = fault.validator
    kind = _TYPES.get(type(found), "something else")
    if rule == "required" and isinstance(found, dict):
        missing = [name for name in value if name not in found]
        return f"the properties {', '.join(value)}", f"no {', '.join(missing)}"
    if rule == "additionalProperties" and isinstance(found, dict):
        known = fault.schema.get("properties", {}) if isinstance(fault.schema, dict) else {}
        others = sorted(name for name in found if name not in known)
        return f"no properties but {', '.join(known) or 'none'}", ", ".join(others)[:SAID_CHARACTERS_MAX]
    if rule == "type":
        return value if isinstance(value, str) else " or ".join(value), kind
    if rule == "enum":
        return f"one of {_said(value)}", f"another {kind}"
    if rule in ("minLength", "maxLength", "minItems", "maxItems"):
        bound = "at least" if rule.startswith("min") else "at most"
        unit = "characters" if rule.endswith("Length") else "items"
        return f"{bound} {value} {unit}", f"{len(found)}"
    return f"{rule} {_said(value)}", f"{'a number' if kind in ('integer', 'number') else kind} that is not"


def _said(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:SAID_CHARACTERS_MAX]
