"""A published version, for tests."""

from __future__ import annotations

from typing import Any

from registry.environment_lock import Environment
from registry.manifest import Manifest
from registry.models import RegisteredVersion


def version(schema: dict[str, Any], digest: str = "sha256:1") -> RegisteredVersion:
    manifest = Manifest(
        name="echo",
        entry_point="m:M",
        code=(),
        weights=(),
        environment=Environment("3.11", "cp311", "any", ()),
        inputs=schema,
        outputs={},
        chipsets=("cpu",),
        gpus=0,
        ranks=1,
        memory_mib=0,
        timeout_ms=1,
    )
    return RegisteredVersion("echo", digest, "main", manifest, 0, "me", relayed=True)
