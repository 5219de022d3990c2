"""GET /openapi.json: the interface as OpenAPI 3.1, the bodies' schemas made from api.bodies."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api import bodies
from api.problems import MEDIA_TYPE
from api.replies import reply
from audit.waits.sentences import Why

_JOB = {"name": "job", "in": "path", "required": True, "schema": {"type": "string"}}
_MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": description}


_TEXT = {"type": "string"}
AGE = "the policy's `submission_age_max` (3 days unless it says otherwise)"
_PAGE = [
    _query("state", _TEXT, "Only jobs in this state."),
    _query("tier", _TEXT, "Only jobs of this tier."),
    _query("model", _TEXT, "Only jobs of this model (its name alone)."),
    _query("limit", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}, "Jobs a page."),
    _query("cursor", _TEXT, "The `cursor` of the page before."),
]


class Operation(NamedTuple):
    method: str
    path: str
    summary: str
    answers: dict[int, type[msgspec.Struct] | str]
    """Status to body: a Struct (JSON) or a media type."""
    problems: tuple[int, ...] = ()
    parameters: tuple[dict[str, Any], ...] = ()
    body: type[msgspec.Struct] | None = None
    public: bool = False


OPERATIONS = (
    Operation(
        "post",
        "/v1/jobs",
        "Submit a job. 202 once the broker has it; 200 when this Idempotency-Key made it before.",
        {202: bodies.Submitted, 200: bodies.Submitted},
        (400, 403, 404, 410, 413, 415, 422, 503),
        (
            _header(
                "Idempotency-Key",
                f"The same key and request again is the same job, at least until {AGE} after it has ended.",
            ),
            _header("traceparent", "W3C trace context, passed on with the job."),
        ),
        bodies.SubmitRequest,
    ),
    Operation("get", "/v1/jobs", "Your jobs, newest first.", {200: bodies.JobList}, (422,), tuple(_PAGE)),
    Operation("get", "/v1/jobs/counts", "Your jobs by tier and state.", {200: bodies.JobCounts}),
    Operation("get", "/v1/jobs/{job}", "One job with its attempts.", {200: bodies.JobDetail}, (404,), (_JOB,)),
    Operation(
        "post",
        "/v1/jobs/{job}/cancel",
        "Ask for the job's end. 202 once the broker has the request; 200 when the job had ended.",
        {202: bodies.Cancelling, 200: bodies.Cancelling},
        (404, 503),
        (_JOB,),
    ),
    Operation(
        "get",
        "/v1/jobs/{job}/events",
        "State changes (`state`, a JobEvent) and progress (`progress`, a ProgressBody) until the job has ended.",
        {200: "text/event-stream", 204: ""},
        (404, 422, 503),
        (
            _JOB,
            _query("follow", {"type": "boolean", "default": True}, "false: what happened so far, then the end."),
            _header("Last-Event-ID", "Go on after this event."),
        ),
    ),
    Operation(
        "get",
        "/v1/jobs/{job}/result",
        "What the job made.",
        {200: bodies.Result},
        (404, 409, 410, 503),
        (_JOB,),
    ),
    Operation(
        "get",
        "/v1/jobs/{job}/why",
        "Why the job waited, from submission to start: causes whose ms sum to the wait and percents to 100.",
        {200: Why},
        (404, 409, 503),
        (_JOB,),
    ),
    Operation("get", "/v1/models", "What can be run.", {200: bodies.ModelList}),
    Operation(
        "get",
        "/v1/models/{model}",
        "One model, with the schemas of its versions.",
        {200: bodies.ModelDetail},
        (404,),
        (_MODEL,),
    ),
    Operation("get", "/v1/clusters", "Operators: every cluster.", {200: bodies.ClusterList}, (403,)),
    Operation("get", "/v1/nodes", "Operators: every node.", {200: bodies.NodeList}, (403,)),
    Operation("get", "/v1/policy", "Operators: the policy in force in each pool.", {200: bodies.PolicyList}, (403,)),
    Operation("get", "/healthz", "The process lives.", {200: bodies.Health}, public=True),
    Operation(
        "get",
        "/readyz",
        "What the process needs answers, or which part does not.",
        {200: bodies.Health, 503: bodies.Health},
        public=True,
    ),
    Operation("get", "/metrics", "Numbers for Prometheus.", {200: "text/plain"}, public=True),
    Operation("get", "/openapi.json", "This document.", {200: "application/json"}, public=True),
    Operation("get", "/", "A page that says where to go.", {200: "text/html"}, public=True),
)

_STREAMED = (bodies.JobEvent, bodies.ProgressBody, bodies.ProblemBody)


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    structs = {body for operation in OPERATIONS for body in _structs_of(operation)} | set(_STREAMED)
    ordered = sorted(structs, key=lambda struct: struct.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": "1",
            "description": "Runs generation jobs on GPU clusters. Every error is a problem (RFC 9457).",
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key, `hr_…`."}},
        },
    }


def _structs_of(operation: Operation) -> list[type[msgspec.Struct]]:
    structs = [body for body in operation.answers.values() if not isinstance(body, str)]
    return [*structs, operation.body] if operation.body else structs


def _ref(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


def _operation(operation: Operation) -> dict[str, Any]:
    answers: dict[str, Any] = {
        str(status): _answer(body) for status, body in sorted(operation.answers.items(), key=lambda pair: pair[0])
    }
    problems = operation.problems if operation.public else (401, *operation.problems, 500)
    problem = {"description": "A problem.", "content": {MEDIA_TYPE: {"schema": _ref(bodies.ProblemBody)}}}
    answers |= {str(status): problem for status in problems if str(status) not in answers}
    described: dict[str, Any] = {"summary": operation.summary, "responses": answers}
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(operation.body)}}}
    if operation.public:
        described["security"] = []
    return described


def _answer(body: type[msgspec.Struct] | str) -> dict[str, Any]:
    if body == "":
        return {"description": "Nothing more will come."}
    if isinstance(body, str):
        return {"description": "As asked.", "content": {body: {}}}
    return {
        "description": (body.__doc__ or "As asked.").strip(),
        "content": {"application/json": {"schema": _ref(body)}},
    }


_DOCUMENT = msgspec.json.encode(document())


async def openapi(request: Request) -> Response:
    return reply(msgspec.Raw(_DOCUMENT))
