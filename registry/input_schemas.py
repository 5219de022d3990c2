"""Whether inputs fit a version's input schema. Both doors ask here; each says the fault in its own words."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry

from registry.models import Version

KEPT_MAX = 1_000


class InputSchemas:
    """Validators by version, kept: a version's schema never changes. Nothing that a schema refers to is fetched."""

    def __init__(self) -> None:
        self._validators: dict[str, Draft202012Validator] = {}

    def fault(self, version: Version, inputs: Any) -> ValidationError | None:
        """The most telling fault of the decoded inputs; None when they fit."""
        validator = self._validators.get(version.digest)
        if validator is None:
            if len(self._validators) >= KEPT_MAX:
                self._validators.clear()
            validator = Draft202012Validator(version.manifest.inputs, registry=Registry())
            self._validators[version.digest] = validator
        fault: ValidationError | None = best_match(validator.iter_errors(inputs))
        return fault
