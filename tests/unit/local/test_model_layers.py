"""A stack starts on any machine; where a layer is missing its nodes trust models, and everybody is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from cli import doctor
from gpu_worker.child.canary_flight import LayersFound
from gpu_worker.child.confinement import LAYERS, Form, KernelFacts, Layer, confinement
from local import model_layers
from local.model_layers import trusts_models
from runtime.settings import Settings

COULD: Mapping[Layer, tuple[str, ...]] = {Layer.SOCKETS: ("reach a socket of the agent by its path",)}


def found(monkeypatch: pytest.MonkeyPatch, broken: Mapping[Layer, tuple[str, ...]] | None) -> None:
    """The canary finds this; None: it cannot be sent."""

    def layers(*_: object) -> LayersFound:
        if broken is None:
            raise OSError("no more processes")
        return LayersFound(confinement(Form.RULES, KernelFacts(1000, 0, 0, 7), Path("/root"), [], {}), broken)

    monkeypatch.setattr(model_layers, "find_layers", layers)


def test_where_all_layers_hold_no_model_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found(monkeypatch, {})
    assert trusts_models(Settings(), tmp_path) == (False, "")


def test_where_one_is_missing_it_is_said_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found(monkeypatch, COULD)
    trusted, told = trusts_models(Settings(), tmp_path)
    assert trusted
    assert "sockets of the agent: a model can reach a socket of the agent by its path" in told


def test_where_it_is_not_known_it_is_said_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found(monkeypatch, None)
    assert trusts_models(Settings(), tmp_path)[0]
    assert "no more processes" in trusts_models(Settings(), tmp_path)[1]
    assert [(finding.good, finding.suspect) for finding in doctor._layers(tmp_path)] == [(True, True)]


@pytest.mark.parametrize("said", ["true", "false"])
def test_what_the_user_said_stands(said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found(monkeypatch, COULD)
    monkeypatch.setenv("HEADRACE_TRUSTED_MODELS", said)
    assert trusts_models(Settings(), tmp_path) == (said == "true", "")


def test_doctor_shows_each_layer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found(monkeypatch, COULD)
    findings = doctor._layers(tmp_path)
    assert [finding.what for finding in findings] == [f"models held off: {layer}" for layer in LAYERS]
    assert [finding.what for finding in findings if finding.suspect] == ["models held off: sockets of the agent"]
    assert {finding.found for finding in findings if not finding.suspect} == {"held (rules)"}
