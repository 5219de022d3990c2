"""A canary in a child's place can do nothing that no child may do; without a layer it can, and says so."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_worker import __main__ as node
from runtime.worker import canary_flight
from runtime.worker.canary_flight import LayersFound, find_layers, probe
from runtime.worker.confinement import PROGRAMS, Confinement, Form, KernelFacts, Layer, confinement, forms
from runtime.worker.node import NodeIdentity

FACTS = probe()
needs_rights = pytest.mark.skipif(forms(FACTS)[0] in (Form.RULES, Form.LIMITS), reason="the kernel holds nothing off")


def broken(form: Form, folder: Path, facts: KernelFacts = FACTS) -> dict[Layer, tuple[str, ...]] | None:
    """By layer that does not hold in this form: what the canary could do."""
    (folder / "root").mkdir()
    return canary_flight._fly(confinement(form, facts, folder / "root", [folder], {}), folder)


def unusable_unless_limits(form: Form, facts: KernelFacts, root: Path, *more: Any) -> Confinement:
    """Namespaces with a root that is not there."""
    return confinement(form, facts, root if form is Form.LIMITS else root / "missing", *more)


@needs_rights
def test_a_child_can_do_nothing_that_no_child_may_do(tmp_path: Path) -> None:
    found = find_layers(tmp_path / "confinement", [tmp_path], os.environ)
    assert found.confinement.form is forms(FACTS)[0]
    assert found.broken == {}
    assert found.all_hold
    assert [path.name for path in (tmp_path / "confinement").iterdir()] == ["root"]


@needs_rights
@pytest.mark.skipif(not FACTS.user_namespace, reason="no namespaces of users")
def test_without_another_user_all_else_holds(tmp_path: Path) -> None:
    """As a user, that is all. As root the child is root by name, without a right that root has."""
    found = broken(Form.NAMESPACES, tmp_path)
    assert found == ({Layer.PRIVILEGES: ("be root",)} if FACTS.uid == 0 else {})


@pytest.mark.skipif(FACTS.landlock < 6, reason="a Landlock that knows no scopes")
def test_rules_alone_leave_sockets_that_have_a_path(tmp_path: Path) -> None:
    found = broken(Form.RULES, tmp_path)
    assert found is not None
    assert found.keys() == {Layer.SOCKETS, Layer.PRIVILEGES}
    assert found[Layer.SOCKETS] == ("reach a socket of the agent by its path",)


def test_with_limits_alone_a_child_is_as_the_agent(tmp_path: Path) -> None:
    found = broken(Form.LIMITS, tmp_path)
    assert found is not None
    assert found.keys() >= set(Layer) - {Layer.MEMORY}
    could = found[Layer.PRIVILEGES]
    assert not {"have capabilities", "gain privileges", "leave a core file"} & set(could), "those hold everywhere"


def test_a_form_in_which_no_child_starts_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Headrace is installed so that only its user reads it."""
    monkeypatch.setattr(canary_flight, "forms", lambda _facts: (Form.NAMESPACES, Form.LIMITS))
    monkeypatch.setattr(canary_flight, "confinement", unusable_unless_limits)
    assert find_layers(tmp_path, [tmp_path], {}).confinement.form is Form.LIMITS


def test_an_installation_that_is_read_only_is_none_the_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docker-compose.yml runs a node: the kernel refuses to remove even what is not there."""

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", refused)
    find_layers(tmp_path, [tmp_path], {})


def test_nothing_is_left_where_the_canary_tried(tmp_path: Path) -> None:
    broken(Form.LIMITS, tmp_path)
    assert not Path("/canary.txt").exists()
    assert not (PROGRAMS / "canary.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_a_node_says_which_layers_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on: the policy says whether models run there."""
    told: list[NodeIdentity] = []

    def agent(node: NodeIdentity, *_: Any, **__: Any) -> Any:
        told.append(node)
        return SimpleNamespace(run=lambda: 0, turns=0, stop=lambda: None)

    none = confinement(Form.LIMITS, FACTS, tmp_path, [], {})
    monkeypatch.setattr(node, "find_layers", lambda *_: LayersFound(none, {Layer.SOCKETS: ("reach a socket",)}))
    for name in ("Strays", "Lookup", "Producer", "Watchdog", "serve_metrics"):
        monkeypatch.setattr(node, name, lambda *_, **__: SimpleNamespace(adopt=int, start=int))
    monkeypatch.setattr(node, "Agent", agent)
    monkeypatch.setenv("HEADRACE_DATA", str(tmp_path / "data"))
    assert node.main(["--cluster", "c", "--node", "n", "--slots", "1"]) == 0
    (identity,) = told
    assert identity.join("s", (), 1).layers_missing == ("sockets",)
