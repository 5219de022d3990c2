"""Whether a stack's first policy trusts models, by what a canary can do here from a model's place."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from contract.policy import Policy
from runtime.worker.canary_flight import LayersFound, find_layers


def layers_here(data: Path) -> LayersFound:
    """Which layers hold between a model and a node of a stack with this data. OSError."""
    with tempfile.TemporaryDirectory(prefix="headrace-layers-") as folder:
        return find_layers(Path(folder), [data], os.environ)


def with_trust(first: Policy, data: Path, *, is_new: bool, is_own: bool) -> tuple[Policy, str]:
    """(the first policy, what to tell of it). Where this machine lacks a layer, the policy that a new stack begins with
    trusts models, so that a stack starts there too, and that is told. `is_new`: the stack has no policy yet. `is_own`:
    the policy is the user's own, which stays as it is."""
    try:
        found = layers_here(data)
        missing = "; ".join(f"{layer}: a model can {could[0]}" for layer, could in found.broken.items())
    except OSError as error:
        missing = f"it could not be found out which hold: {error}"
    if not missing:
        return first, ""
    why = f"not all layers hold on this machine that keep models off ({missing}). `headrace doctor` shows each layer"
    if is_new and not is_own:
        return msgspec.structs.replace(first, trusted_models=True), (
            f"models are trusted by this stack's policy: {why}; publish no models of strangers here"
        )
    return first, f"nodes run models only if the policy trusts them (`trusted_models`): {why}"
