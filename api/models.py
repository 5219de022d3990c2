"""GET /v1/models and GET /v1/models/{model}: what can be run, and which inputs it takes."""

from __future__ import annotations

from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import Response

from api.bodies import ModelDetail, ModelList, ModelSummary, ModelVersion
from api.callers import authenticate, viewer_of
from api.operations import in_path, operation
from api.problems import Problem
from api.replies import parameters, reply
from api.resources import resources_of
from contract.names import is_name
from registry import audiences, models
from registry.audiences import Viewer
from registry.errors import RegistryError
from registry.models import RegisteredModel, RegisteredVersion


@operation("GET", "/v1/models", "What can be run.", {200: ModelList})
async def list_models(request: Request) -> Response:
    key = await authenticate(request)
    parameters(request)
    resources = resources_of(request)
    found = await resources.in_thread(_listed, resources.engine, viewer_of(key))
    return reply(ModelList([ModelSummary.of(model) for model in found]))


@operation(
    "GET",
    "/v1/models/{model}",
    "One model, with the schemas of its versions.",
    {200: ModelDetail},
    problems=(404,),
    parameters=(in_path("model"),),
)
async def get_model(request: Request) -> Response:
    key = await authenticate(request)
    parameters(request)
    resources = resources_of(request)
    name = request.path_params["model"]
    if not is_name(name):  # the database takes no text with NUL
        raise _unknown(name)
    try:
        model, versions = await resources.in_thread(_shown, resources.engine, name, viewer_of(key))
    except RegistryError as error:
        if error.code != "unknown_model":
            raise
        raise _unknown(name) from None
    summary = ModelSummary.of(model)
    return reply(
        ModelDetail(summary.name, summary.pool, summary.aliases, [ModelVersion.of(version) for version in versions])
    )


def _listed(engine: Engine, viewer: Viewer) -> list[RegisteredModel]:
    known = {model.name: model for model in models.listed(engine)}
    return [known[name] for name in audiences.seen_of(engine, viewer, known)]


def _shown(engine: Engine, name: str, viewer: Viewer) -> tuple[RegisteredModel, tuple[RegisteredVersion, ...]]:
    """RegistryError(unknown_model), also for a model that the viewer may not see."""
    model = models.show(engine, name)
    if not audiences.of(engine, name).sees(viewer):
        raise models.unknown_model(name)
    return model, models.versions(engine, name)


def _unknown(name: str) -> Problem:
    return Problem(404, "unknown-model", f"there is no model {name[:80]!r}; GET /v1/models lists them")
