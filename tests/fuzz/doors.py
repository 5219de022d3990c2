"""The table of doors: every place where bytes or objects from outside come in, and what is offered there."""

from __future__ import annotations

from tests.fuzz import (
    client,
    data_directory,
    environment,
    history,
    host,
    http,
    media,
    model_files,
    pipe,
    policy_files,
    signed,
    store,
    submissions,
    topics,
    trace_files,
)
from tests.fuzz.door import Door

DOORS: tuple[Door, ...] = (
    *submissions.DOORS,
    *topics.DOORS,
    *signed.DOORS,
    *host.DOORS,
    *history.DOORS,
    *media.DOORS,
    *pipe.DOORS,
    *http.DOORS,
    *model_files.DOORS,
    *policy_files.DOORS,
    *trace_files.DOORS,
    *environment.DOORS,
    *client.DOORS,
    *data_directory.DOORS,
    *store.DOORS,
)

ELSEWHERE = {
    "the folders that a child leaves": "tests/process/gpu_worker/test_folders.py",
    "the schema of a model": "tests/properties/registry/test_schemas.py",
}
"""Doors that need a process or a property of their own, and where they are tested."""

OURS = {
    "contract.policy": "a policy that was encoded a line before",
    "cli.policy": "a state that this process folded",
    "whatif.shadow.first_state": "a state that this process encoded a line before",
    "views.queries": "rows that the projector wrote; a cursor is part of GET /v1/jobs",
    "api.request_body": "part of POST /v1/jobs",
    "api.submissions": "part of POST /v1/jobs",
    "api.uploads": "part of POST /v1/uploads",
    "registry.schemas.media": "part of the schema of a model",
    "registry.uploads": "a cursor is part of GET /v1/uploads",
    "runtime.worker.frames": "part of the child's pipe",
    "local.last_words": "logs of our own parts; any other line is passed over",
    "local.supply.bill": "what the tool that `make sbom` runs wrote for a developer",
    "local.supply.vulnerabilities": "what the tool that `make audit-deps` runs wrote for a developer",
    "runtime.worker.layers.canary": "an argument that the node gives its own canary",
    "runtime.worker.canary_flight": "what our own program and canary say before any model has run",
    "runtime.worker.layers.enter": "an argument that the node gives the program that starts a child",
    "cpu_worker.decode_file": "an argument that a CPU worker gives its own decoding program",
    "cli.revocation": "the policy in force, as our own API says it",
    "local.options": "an argument that `headrace up` gives its own supervisor",
}
"""Modules that decode only what this process, or our own database, wrote a moment before; and what."""
