"""Whether a stack's nodes may run models of strangers here, by what a canary can do from a model's place."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gpu_worker.child.canary_flight import LayersFound, find_layers
from runtime.settings import Settings

SETTING = "trusted_models"


def layers_here(data: Path) -> LayersFound:
    """Which layers hold between a model and a node of a stack with this data. OSError."""
    with tempfile.TemporaryDirectory(prefix="headrace-layers-") as folder:
        return find_layers(Path(folder), [data], os.environ)


def trusts_models(given: Settings, data: Path) -> tuple[bool, str]:
    """(whether the stack's nodes run models although a layer is missing, what to tell of that). What the user set
    stands; else they do where this machine lacks a layer, so that a stack starts there too, and that is told."""
    if SETTING in given.model_fields_set:
        return given.trusted_models, ""
    try:
        found = layers_here(data)
    except OSError as error:
        return True, f"models are trusted on this machine: it could not be found out which layers hold ({error})"
    if found.all_hold:
        return False, ""
    missing = "; ".join(f"{layer}: a model can {could[0]}" for layer, could in found.broken.items())
    return True, (
        f"models are trusted on this machine, because not all layers hold that keep them off ({missing}): publish none"
        " of strangers here. `headrace doctor` shows each layer; HEADRACE_TRUSTED_MODELS=false runs none instead"
    )
