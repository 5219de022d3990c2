"""What a model reference means, and whether a version takes given inputs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from sqlalchemy import Engine

from api.problems import RETRY_AFTER_S, Problem
from contract.codec import Malformed, decode_values
from registry import audiences, models
from registry.answers import Answers
from registry.audiences import Audiences, Viewer
from registry.errors import RegistryError
from registry.media_names import MediaNameRefused, NamedMedium, named_in
from registry.models import RegisteredVersion
from registry.schemas import MediaFields, SchemaRefused, Validators, path_of
from runtime.egress.policy import EgressPolicy

TTL_S = 1.0
"""An answer is kept for so long. The scheduler pins the version of a job; here a version only chooses the pool and
checks the inputs. Who may see a model is as old as this, at most."""
KEPT_BYTES_MAX = 32 * 1024 * 1024
"""Of versions, whose schemas may be large."""
NAMED_MAX = 20
SAID_CHARACTERS_MAX = 200
HERE_BYTES_MAX = 4 * 1024
"""Larger inputs are decoded and checked in a thread, so that other requests are served meanwhile."""

InThread = Callable[..., Coroutine[Any, Any, Any]]


class Catalog:
    def __init__(self, engine: Engine, in_thread: InThread, in_check: InThread | None = None) -> None:
        """`in_thread` asks the database, `in_check` checks inputs; without it the former does both."""
        self._engine = engine
        self._in_thread = in_thread
        self._in_check = in_check or in_thread
        self._versions: Answers[str, RegisteredVersion] = Answers(KEPT_BYTES_MAX, TTL_S, size_of=models.size_of)
        self._audiences = Audiences(engine, TTL_S)
        self._schemas = Validators()
        self._media = MediaFields()

    async def resolve(
        self, reference: str, viewer: Viewer, is_let_in: Callable[[RegisteredVersion], Awaitable[bool]] | None = None
    ) -> RegisteredVersion:
        """The version that a job submitted now would run. Problem 404 or 422; 503 until the scheduler has been told.

        A model that the viewer may not see is one that is not there, unless `is_let_in` says of its version that the
        viewer asks for what he was given before."""
        version = self._versions.kept(reference) or await self._ask(reference, viewer)
        if not await self._is_seen(version.model, viewer) and not (is_let_in and await is_let_in(version)):
            raise await self._unknown_model(reference, viewer)
        if not version.relayed:
            raise Problem(
                503,
                "model-not-ready",
                f"{reference[:SAID_CHARACTERS_MAX]} was published a moment ago, and its scheduler has not been told"
                " of it yet: try again",
                retry_after_s=RETRY_AFTER_S,
            )
        return version

    async def withdrawn(self, reference: str, version: RegisteredVersion) -> Problem:
        """The answer to a submission of a withdrawn version."""
        versions = await self._in_thread(models.versions, self._engine, version.model)
        usable = [f"{version.model}@{other.digest}" for other in versions if not other.withdrawn]
        said = "" if reference.endswith(version.digest) else f", to which {reference[:SAID_CHARACTERS_MAX]} points"
        what = "name another version, or" if usable else "it has no other version:"
        return Problem(
            409,
            "version-withdrawn",
            f"model: expected a version that may run, found {version.digest}{said}: it was withdrawn for ever; {what}"
            f" ask whoever publishes {version.model} to promote one",
            version=version.digest,
            known=usable[:NAMED_MAX],
        )

    async def checked_inputs(self, version: RegisteredVersion, raw: bytes) -> Any:
        """The inputs, decoded. Problem 422 for what no model takes, or with the path of the first fault, what the
        version expects there and what was found; 409 when nobody can check inputs of the version."""
        if len(raw) <= HERE_BYTES_MAX and self._schemas.knows(version.digest):
            return self._checked(version, raw)
        return await self._in_check(self._checked, version, raw)

    def _checked(self, version: RegisteredVersion, raw: bytes) -> Any:
        try:
            inputs = decode_values(raw, "inputs")
            fault = self._schemas.fault(version.digest, version.manifest.inputs, inputs)
        except Malformed as malformed:
            raise Problem(422, "inputs-invalid", str(malformed)) from None
        except SchemaRefused as refused:
            raise _schema_refused(version, refused) from None
        if fault is not None:
            raise Problem(
                422,
                "inputs-invalid",
                f"{fault.sentence('inputs')}; see the schema at /v1/models/{version.model}",
                path=path_of(["inputs", *fault.path]),
                expected=fault.expected,
                found=fault.found,
            )
        return inputs

    def named_media(self, version: RegisteredVersion, inputs: Any, policy: EgressPolicy) -> tuple[NamedMedium, ...]:
        """The media that checked inputs name, judged by their text. Problem 422; 409 when nobody can tell which they
        are."""
        try:
            return named_in(self._media.of(version.digest, version.manifest.inputs), inputs, policy)
        except MediaNameRefused as refused:
            raise media_problem(refused) from None
        except SchemaRefused as refused:
            raise _schema_refused(version, refused) from None

    async def _is_seen(self, model: str, viewer: Viewer) -> bool:
        audience = self._audiences.kept(model) or await self._in_thread(self._audiences.of, model)
        seen: bool = audience.sees(viewer)
        return seen

    async def _ask(self, reference: str, viewer: Viewer) -> RegisteredVersion:
        try:
            version: RegisteredVersion = await self._in_thread(
                self._versions.get, reference, partial(models.resolve, self._engine, reference), keep=models.is_relayed
            )
        except RegistryError as error:
            raise await self._problem(reference, viewer, error) from None
        return version

    async def _unknown_model(self, reference: str, viewer: Viewer) -> Problem:
        known = [model.name for model in await self._in_thread(models.listed, self._engine)]
        seen = await self._in_thread(audiences.seen_of, self._engine, viewer, known)
        return _unknown("model", reference[:SAID_CHARACTERS_MAX], seen)

    async def _problem(self, reference: str, viewer: Viewer, error: RegistryError) -> Problem:
        said = reference[:SAID_CHARACTERS_MAX]
        name = reference.partition("@")[0]
        if error.code == "invalid":
            return Problem(422, "model-reference-invalid", f"model: {error}")
        if error.code == "unknown_model":
            return await self._unknown_model(reference, viewer)
        if error.code in ("unknown_alias", "unknown_version"):
            model = await self._in_thread(models.show, self._engine, name)
            if not await self._is_seen(name, viewer):
                return await self._unknown_model(reference, viewer)
            if error.code == "unknown_alias":
                return _unknown("alias", said, [f"{name}@{alias.alias}" for alias in model.aliases])
            return _unknown("version", said, [f"{name}@{digest}" for digest in model.versions])
        raise error


def media_problem(refused: MediaNameRefused) -> Problem:
    return Problem(422, refused.fault.value, str(refused), path=refused.path)


def _schema_refused(version: RegisteredVersion, refused: SchemaRefused) -> Problem:
    return Problem(
        409,
        "model-schema-refused",
        f"model {version.model}: expected a schema that its inputs can be checked with, found one that"
        f" an older release took and this release refuses: {refused}; ask its author to publish it again",
    )


def _unknown(noun: str, reference: str, known: Iterable[str]) -> Problem:
    names = list(known)
    listed = ", ".join(names[:NAMED_MAX]) or "none"
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    detail = f"there is no {noun} {reference!r}; there is: {listed}{more}"
    return Problem(404, f"unknown-{noun}", detail, known=names[:NAMED_MAX])
