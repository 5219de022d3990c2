"""What follows from what a kernel can do: the forms of a confinement, and the plan of a child."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from contract.bounds import SLOTS_MAX
from contract.inputs import LAYERS as WIRE_LAYERS
from runtime.worker.canary_flight import LayersFound
from runtime.worker.confinement import (
    PROGRAMS,
    ChildPlaces,
    Form,
    KernelFacts,
    Layer,
    Network,
    confinement,
    first_uid,
    forms,
    interpreter_places,
)
from runtime.worker.room_place import RoomPlace

ROOT, USER = KernelFacts(0, 1, 1, 7, 1), KernelFacts(1000, 0, 1, 7, 1)


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (ROOT, (Form.OWN_USER, Form.RULES, Form.LIMITS)),
        (USER, (Form.NAMESPACES, Form.RULES, Form.LIMITS)),
        (KernelFacts(0, 0, 0, 7), (Form.RULES, Form.LIMITS)),
        (KernelFacts(1000, 0, 0, 0), (Form.LIMITS,)),
    ],
)
def test_the_tightest_form_comes_first(facts: KernelFacts, found: tuple[Form, ...]) -> None:
    assert forms(facts) == found


def places(folder: Path) -> ChildPlaces:
    for name in ("code", "data/depot/code", "slot"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    read = (str(folder / "code"), str(folder / "data" / "depot" / "code"), str(folder / "missing"))
    return ChildPlaces(read, str(folder / "slot"), str(folder / "slot" / "home"), str(folder / "slot" / "kept"))


def test_a_child_has_its_own_network_unless_its_ranks_are_on_other_nodes(tmp_path: Path) -> None:
    held = confinement(Form.NAMESPACES, USER, tmp_path / "root", [], {})
    alone = held.plan(0, places(tmp_path), gpus=False)
    far = held.plan(0, places(tmp_path), gpus=False, ranks=2, network=Network.HOST)
    assert (alone["network"], alone["ipc"], alone["processes"]) == ("own", True, "own")
    assert (far["network"], far["ipc"], far["processes"]) == ("host", True, "own")
    assert not alone["landlock"]["shares_sockets"]
    assert not far["landlock"]["shares_sockets"]


def test_ranks_on_one_node_share_a_user_and_sockets_and_with_gpus_their_process_ids(tmp_path: Path) -> None:
    held = confinement(Form.OWN_USER, ROOT, tmp_path / "root", [], {})
    room = RoomPlace(0, enters=5)
    rank = held.plan(1, places(tmp_path), gpus=False, ranks=2, room=room)
    assert (rank["uid"], rank["network"], rank["room"]) == (held.uid(0), "own", {"opens": (), "enters": 5})
    assert rank["landlock"]["shares_sockets"]
    assert rank["processes"] == "own"
    assert held.plan(1, places(tmp_path), gpus=True, ranks=2, room=room)["processes"] == "host"


def test_by_rules_alone_a_gang_has_the_machines_network(tmp_path: Path) -> None:
    plan = confinement(Form.RULES, USER, tmp_path / "root", [], {}).plan(0, places(tmp_path), gpus=False, ranks=2)
    assert (plan["landlock"]["network"], plan["landlock"]["shares_sockets"]) == ("open", True)


def test_by_rules_alone_a_child_has_no_network_either(tmp_path: Path) -> None:
    plan = confinement(Form.RULES, USER, tmp_path / "root", [], {}).plan(0, places(tmp_path), gpus=False)
    assert (plan["mounts"], plan["landlock"]["network"]) == (None, "shut")
    assert "/" not in plan["landlock"]["read"]


def test_address_space_is_limited_where_no_driver_reserves_it(tmp_path: Path) -> None:
    held = confinement(Form.NAMESPACES, USER, tmp_path / "root", [], {})
    assert held.plan(0, places(tmp_path), gpus=False, memory_mib=1024)["address_space"] == 10 * 1024**3
    assert held.plan(0, places(tmp_path), gpus=True, memory_mib=1024)["address_space"] == 0


def test_it_is_shown_what_it_needs_and_nothing_around_that(tmp_path: Path) -> None:
    """Libraries that the environment names are no way into the installation's data, or around it."""
    data = tmp_path / "data"
    inherited = {"LD_LIBRARY_PATH": f"{data}/depot:{tmp_path}:{tmp_path}/libraries:relative"}
    (tmp_path / "libraries").mkdir()
    plan = confinement(Form.NAMESPACES, USER, tmp_path / "root", [data], inherited).plan(
        0, places(tmp_path), gpus=False
    )
    shown = [str(tmp_path / name) for name in ("code", "data/depot/code", "libraries")]
    assert set(plan["mounts"]["read"]) - {str(PROGRAMS)} == set(shown)
    assert plan["mounts"]["write"] == [str(tmp_path / "slot")]


def test_data_in_a_directory_of_the_system_is_hidden(tmp_path: Path) -> None:
    held = confinement(Form.NAMESPACES, USER, tmp_path / "root", [Path("/opt/x/data"), Path("/srv/data")], {})
    assert held.plan(0, places(tmp_path), gpus=False)["mounts"]["hidden"] == ["/opt/x/data"]


def test_each_slot_has_a_user_that_nobody_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = confinement(Form.OWN_USER, ROOT, tmp_path, [], {})
    uids = {held.uid(slot) for slot in range(SLOTS_MAX)}
    assert len(uids) == SLOTS_MAX
    assert uids.isdisjoint({entry.pw_uid for entry in pwd.getpwall()})
    assert max(uids) < 65_534
    first = first_uid("here")
    taken = pwd.struct_passwd(("somebody", "x", first + 5, 0, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [taken])
    assert first_uid("here") not in (first, 0)
    assert confinement(Form.NAMESPACES, USER, tmp_path, [], {}).uid(3) == 0


def test_an_interpreter_is_shown_with_that_to_which_it_links(tmp_path: Path) -> None:
    """By each name on the way: an interpreter finds its library beside the name by which it was called."""
    (tmp_path / "base-3.11.9" / "bin").mkdir(parents=True)
    (tmp_path / "base-3.11.9" / "bin" / "python3.11").touch()
    (tmp_path / "base-3.11").symlink_to("base-3.11.9")
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").symlink_to("../../base-3.11/bin/python3.11")
    found = interpreter_places(str(tmp_path / "env" / "bin" / "python"))
    assert found == [str(tmp_path / name) for name in ("env", "base-3.11", "base-3.11.9")]
    assert interpreter_places("/usr/bin/env") == []


def test_a_layer_that_is_missing_is_named_as_the_wire_names_it(tmp_path: Path) -> None:
    held = confinement(Form.RULES, USER, tmp_path, [], {})
    assert LayersFound(held, dict.fromkeys(Layer, ("do it",))).missing == WIRE_LAYERS
    assert LayersFound(held, {Layer.SOCKETS: ("reach a socket",)}).missing == ("sockets",)
    assert LayersFound(held, {}).missing == ()
