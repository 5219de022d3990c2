"""What a version's input schema says of its media, and whether a payload fits it: asked again where the work is done.

The door checked the payload when the job was submitted, perhaps against another version: an alias may have moved.
Manifests are small, and are read from the store without weights, code or an environment.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import msgspec

from contract.codec import Malformed, decode_values
from contract.media import MEDIA_MAX, rules_digest
from cpu_worker.io.media_sources import MediaWanted, named
from cpu_worker.io.patient_steps import PatientSteps
from cpu_worker.rules.verdicts import PreparationOutage, PreparationRefusal
from registry.answers import Answers
from registry.errors import RegistryError
from registry.manifest import MANIFEST_BYTES_MAX, decode_manifest
from registry.schemas import MediaField, SchemaRefused, Validators, media_fields, rules_of
from runtime.worker.outages import SILENT, outage

LOOKS_MAX = 3
"""How often a manifest that is missing or damaged is looked for. A store that came up a moment ago may not show all."""
KEPT_MAX = 256
"""Versions whose rules are kept."""


class BlobSource(Protocol):
    """registry.blobs.BlobCache, as far as manifests are read."""

    def read(self, sha256: str, bytes_max: int) -> bytes: ...


class InputRules(NamedTuple):
    """Of one version."""

    schema: dict[str, Any]
    media: dict[str, MediaField]
    """By field, sorted."""
    digest: str
    """contract.media.rules_digest."""


class VersionInputs:
    """Any thread may use it."""

    def __init__(self, blobs: BlobSource) -> None:
        self._blobs = blobs
        self._validators = Validators()
        self._kept: Answers[str, InputRules] = Answers(KEPT_MAX)

    def rules(self, version: str, steps: PatientSteps) -> InputRules:
        """PreparationOutage when the version cannot be had: it was published, so that is no fault of the media."""
        kept = self._kept.kept(version)
        if kept is not None:
            return kept
        looks = 0

        def cause(error: Exception) -> str:
            nonlocal looks
            if isinstance(error, RegistryError):
                looks += 1
                return SILENT if looks < LOOKS_MAX else ""
            return outage(error)

        try:
            found = steps.done("version", lambda: self._read(version), cause)
        except RegistryError:
            raise PreparationOutage from None
        except SchemaRefused as refused:  # an older release published it
            raise PreparationRefusal("bad_inputs", f"inputs: {refused}") from None
        return self._kept.get(version, lambda: found)

    def wanted(self, version: str, rules: InputRules, inputs: msgspec.Raw) -> list[MediaWanted]:
        """The media that the inputs name, in the order of fields and of lists. PreparationRefusal."""
        try:
            values = decode_values(bytes(inputs), "inputs")
            fault = self._validators.fault(version, rules.schema, values)
        except (Malformed, SchemaRefused) as error:
            raise PreparationRefusal("bad_inputs", str(error)) from None
        if fault is not None:
            raise PreparationRefusal("bad_inputs", fault.sentence("inputs"))
        wanted = []
        for name, field in rules.media.items():
            value = values.get(name) if isinstance(values, dict) else None
            texts = value if isinstance(value, list) else [] if value is None else [value]
            wanted += [
                MediaWanted(name, at, field.kind, field.rule, str(text), field.is_list) for at, text in enumerate(texts)
            ]
        if len(wanted) > MEDIA_MAX:
            raise PreparationRefusal("bad_inputs", f"inputs: expected at most {MEDIA_MAX} media, found {len(wanted)}")
        for each in wanted:
            named(each)
        return wanted

    def _read(self, version: str) -> InputRules:
        raw = self._blobs.read(version.removeprefix("sha256:"), MANIFEST_BYTES_MAX)
        schema = decode_manifest(raw, version).inputs
        media = media_fields(schema)
        return InputRules(schema, dict(sorted(media.items())), rules_digest(rules_of(media)))
