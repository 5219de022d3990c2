"""A stack starts on any machine; where a layer is missing its nodes trust models, and everybody is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from cli import doctor
from local import model_layers
from local.first_policy import read_policy
from local.model_layers import with_trust
from runtime.worker.canary_flight import LayersFound
from runtime.worker.confinement import LAYERS, Form, KernelFacts, Layer, confinement

COULD: Mapping[Layer, tuple[str, ...]] = {Layer.SOCKETS: ("reach a socket of the agent by its path",)}


def found(monkeypatch: pytest.MonkeyPatch, broken: Mapping[Layer, tuple[str, ...]] | None) -> None:
    """The canary finds this; None: it cannot be sent."""

    def layers(*_: object) -> LayersFound:
        if broken is None:
            raise OSError("no more processes")
        return LayersFound(confinement(Form.RULES, KernelFacts(1000, 0, 0, 7), Path("/root"), [], {}), broken)

    monkeypatch.setattr(model_layers, "find_layers", layers)


def first(folder: Path, *, is_new: bool = True, is_own: bool = False) -> tuple[bool, str]:
    """(whether the stack's policy trusts models, what is told)"""
    policy, told = with_trust(read_policy(), folder, is_new=is_new, is_own=is_own)
    return policy.trusted_models, told


def test_where_all_layers_hold_no_model_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found(monkeypatch, {})
    assert first(tmp_path) == (False, "")


def test_where_one_is_missing_it_is_said_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found(monkeypatch, COULD)
    trusted, told = first(tmp_path)
    assert trusted
    assert "sockets of the agent: a model can reach a socket of the agent by its path" in told


def test_where_it_is_not_known_it_is_said_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found(monkeypatch, None)
    trusted, told = first(tmp_path)
    assert trusted
    assert "no more processes" in told
    assert [(finding.good, finding.suspect) for finding in doctor._layers(doctor._tried(tmp_path))] == [(True, True)]


@pytest.mark.parametrize(("is_new", "is_own"), [(True, True), (False, False)])
def test_a_policy_that_somebody_wrote_or_that_is_in_force_stays(
    is_new: bool, is_own: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found(monkeypatch, COULD)
    trusted, told = first(tmp_path, is_new=is_new, is_own=is_own)
    assert not trusted
    assert "only if the policy trusts them" in told


def test_doctor_shows_each_layer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found(monkeypatch, COULD)
    findings = doctor._layers(doctor._tried(tmp_path))
    assert [finding.what for finding in findings] == [f"models held off: {layer}" for layer in LAYERS]
    assert [finding.what for finding in findings if finding.suspect] == ["models held off: sockets of the agent"]
    assert {finding.found for finding in findings if not finding.suspect} == {"held (rules)"}
