"""An admission whose registry answers from memory: the model `echo`, and `new`, which is not relayed yet."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine

from contract.names import parse_model
from contract.policy import Policy
from registry import audiences, models, pools
from registry.environment_lock import Environment
from registry.errors import RegistryError
from registry.manifest import Manifest
from registry.models import RegisteredVersion
from runtime.egress.policy import EgressPolicy
from runtime.object_store import ObjectStore
from streams.door.admission import Admission
from tests.twin.object_store import TwinObjectStore
from tests.unit.scheduling.specification import POLICY, POOL, version_of

INPUTS_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"prompt": {"type": "string"}}}
VERSION = version_of("echo")
UPLOAD_KEPT_S = 86_400


def an_admission(patch: pytest.MonkeyPatch, policy: Policy = POLICY, store: ObjectStore | None = None) -> Admission:
    """An admission with all checks of the door; only the registry is replaced."""
    patch.setattr(models, "lookup", _lookup)
    patch.setattr(models, "resolve", _resolve)
    patch.setattr(audiences, "of", lambda *_: audiences.EVERYBODY)
    patch.setattr(pools, "partitions", lambda _: {POOL: 0})
    patch.setattr(Admission, "_limits", lambda _: [policy.payload_bytes_max])
    return Admission(
        create_engine("postgresql+psycopg://nowhere"), store or TwinObjectStore(), EgressPolicy(), UPLOAD_KEPT_S
    )


def _lookup(_: object, model: str) -> str:
    if model not in ("echo", "new"):
        raise RegistryError("unknown_model", "no such model")
    return POOL


def _resolve(_: object, reference: str) -> RegisteredVersion:
    model, alias, digest = parse_model(reference)
    if alias not in ("", "live"):
        raise RegistryError("unknown_alias", "no such alias")
    if digest not in ("", VERSION):
        raise RegistryError("unknown_version", "no such version")
    manifest = Manifest(
        name=model,
        entry_point="m:C",
        code=(),
        weights=(),
        environment=Environment("3.11", "cp311", "linux_x86_64", ()),
        inputs=INPUTS_SCHEMA,
        outputs={},
        chipsets=("cpu",),
        gpus=0,
        ranks=1,
        memory_mib=0,
        timeout_ms=1_000,
    )
    return RegisteredVersion(model, VERSION, POOL, manifest, 0, "test", relayed=model != "new")
