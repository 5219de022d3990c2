"""GET /v1/models and GET /v1/models/{model}: what can be run, and which inputs it takes."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.bodies import ModelDetail, ModelList, ModelSummary, ModelVersion
from api.callers import authenticate
from api.operations import in_path, operation
from api.problems import Problem
from api.replies import parameters, reply
from api.resources import resources_of
from contract.names import is_name
from registry import models
from registry.errors import RegistryError


@operation("GET", "/v1/models", "What can be run.", {200: ModelList})
async def list_models(request: Request) -> Response:
    await authenticate(request)
    parameters(request)
    resources = resources_of(request)
    return reply(
        ModelList([ModelSummary.of(model) for model in await resources.in_thread(models.listed, resources.engine)])
    )


@operation(
    "GET",
    "/v1/models/{model}",
    "One model, with the schemas of its versions.",
    {200: ModelDetail},
    problems=(404,),
    parameters=(in_path("model"),),
)
async def get_model(request: Request) -> Response:
    await authenticate(request)
    parameters(request)
    resources = resources_of(request)
    name = request.path_params["model"]
    if not is_name(name):  # the database takes no text with NUL
        raise _unknown(name)
    try:
        model = await resources.in_thread(models.show, resources.engine, name)
        versions = await resources.in_thread(models.versions, resources.engine, name)
    except RegistryError as error:
        if error.code != "unknown_model":
            raise
        raise _unknown(name) from None
    summary = ModelSummary.of(model)
    return reply(
        ModelDetail(summary.name, summary.pool, summary.aliases, [ModelVersion.of(version) for version in versions])
    )


def _unknown(name: str) -> Problem:
    return Problem(404, "unknown-model", f"there is no model {name[:80]!r}; GET /v1/models lists them")
