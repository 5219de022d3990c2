"""GET /v1/clusters, /v1/nodes, /v1/policy: the whole installation, for keys of scope operator."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.bodies import ClusterList, NodeList, PolicyList
from api.callers import authenticate_operator
from api.operations import operation
from api.replies import parameters, reply
from api.resources import resources_of
from views import queries


@operation("GET", "/v1/clusters", "Operators: every cluster.", {200: ClusterList}, problems=(403,))
async def list_clusters(request: Request) -> Response:
    await authenticate_operator(request)
    parameters(request)
    resources = resources_of(request)
    return reply(ClusterList(await resources.read(queries.clusters), await resources.read(queries.all_job_counts)))


@operation("GET", "/v1/nodes", "Operators: every node.", {200: NodeList}, problems=(403,))
async def list_nodes(request: Request) -> Response:
    await authenticate_operator(request)
    parameters(request)
    return reply(NodeList(await resources_of(request).read(queries.nodes)))


@operation("GET", "/v1/policy", "Operators: the policy in force in each pool.", {200: PolicyList}, problems=(403,))
async def get_policy(request: Request) -> Response:
    await authenticate_operator(request)
    parameters(request)
    resources = resources_of(request)
    in_force, known = await resources.read(queries.policies), await resources.read(queries.pools)
    return reply(PolicyList(in_force, known, await resources.policies.waiting()))
