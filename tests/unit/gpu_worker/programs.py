"""A version as it is installed on a node, for tests that bring the code themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from registry.depot import InstalledVersion
from registry.environment_lock import environment
from registry.manifest import Manifest

NOWHERE = Path("/nowhere")
OBJECT: dict[str, Any] = {"type": "object"}


def installed(
    *,
    version: str = "v",
    code: Path = NOWHERE,
    weights: Path = NOWHERE,
    python: str = sys.executable,
    outputs: Any = OBJECT,
    asks_network: bool = False,
) -> InstalledVersion:
    """A version whose model is `model:Model` in the folder `code`. `outputs`: its output schema, good or bad."""
    manifest = Manifest(
        name="m",
        entry_point="model:Model",
        code=(),
        weights=(),
        environment=environment("3.11", "linux_x86_64", ()),
        inputs=OBJECT,
        outputs=outputs,
        chipsets=("cpu",),
        gpus=0,
        ranks=1,
        memory_mib=0,
        timeout_ms=60_000,
        network=True if asks_network else msgspec.UNSET,
    )
    return InstalledVersion(version, manifest, code, weights, Path(python))
