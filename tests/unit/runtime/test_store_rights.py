"""What each role's login may do in the object store, by its policy document: what its work needs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.results import attempt_prefix
from contract.seals import SnapshotSeals
from registry.blobs import BlobCache
from registry.errors import RegistryError
from registry.manifest import VersionFile, blob_key
from runtime.kafka_credentials import Brokers
from runtime.object_store import Missing, StoreRefuses
from runtime.object_store_health import ask, require_conditional_writes
from runtime.roles import AUTHOR, OPERATOR, SETTINGS, Role
from runtime.store_rights import PREFIXES, RIGHTS, Right, policy_of, try_rights
from scheduling import snapshot
from scheduling.state.pool import initial_state
from streams.door.intake_positions import IntakePosition, IntakePositions
from streams.door.skips import Skips
from streams.ledger.snapshots import newest_stored, save
from tests.twin.logins import BUCKET, LoginStore
from tests.twin.object_store import TwinState
from tests.twin.signing import KEY

RESULT = attempt_prefix("main-" + "0" * 32, "1.2.3") + "a.mp4"


@pytest.fixture
def state() -> TwinState:
    return TwinState()


def login(role: str, state: TwinState) -> LoginStore:
    return LoginStore(policy_of(role, BUCKET), state)


def test_every_process_that_has_a_login_has_a_role_there() -> None:
    asking = {role for role in Role if "s3_access_key" in SETTINGS[role]}
    assert set(RIGHTS) == asking | {AUTHOR, OPERATOR}
    assert all(prefix in PREFIXES for rights in RIGHTS.values() for prefix in rights)


@pytest.mark.parametrize("role", RIGHTS)
def test_a_login_with_its_policy_does_what_the_table_says(role: str, state: TwinState) -> None:
    found = try_rights(login(role, state), role)
    assert [one for one in found if not one.good] == []
    assert {one.prefix for one in found} == set(PREFIXES)


@pytest.mark.parametrize("other", [role for role in RIGHTS if role != Role.NODE])
def test_another_roles_login_is_found_out(other: str, state: TwinState) -> None:
    assert [one for one in try_rights(login(other, state), Role.NODE) if not one.good]


def test_a_node_reads_versions_and_writes_results_and_no_more(state: TwinState, tmp_path: Path) -> None:
    login(AUTHOR, state).put(blob_key("a" * 64), b"abc")
    node = login(Role.NODE, state)
    assert node.get(blob_key("a" * 64), 3) == b"abc"
    with pytest.raises(RegistryError, match="found none"):
        BlobCache(tmp_path, node).fetch(VersionFile("m.py", "b" * 64, 3))
    node.put(RESULT, b"video")
    for forbidden in (
        lambda: node.get(RESULT, 5),
        lambda: node.delete_prefix(RESULT),
        lambda: node.delete([RESULT]),
        lambda: node.put("snapshots/main/x", b""),
        lambda: node.put("positions/intake/submissions/0", b""),
        lambda: node.put("skips/intake/submissions/0/1.json", b""),
        lambda: node.put(blob_key("a" * 64), b"other"),
        lambda: node.list("results/"),
        lambda: node.list(""),
    ):
        with pytest.raises(StoreRefuses, match="403 AccessDenied"):
            forbidden()


def test_each_process_can_do_its_work(state: TwinState) -> None:
    seals, pool = SnapshotSeals([KEY]), initial_state("main")
    scheduler, intake, api, operator = (
        login(role, state) for role in (Role.SCHEDULER, Role.INTAKE, Role.API, OPERATOR)
    )
    for number in range(80):
        save(scheduler, seals, "main", number, 1_790_000_000_000 + number * 1_000, snapshot.encode(pool))
    assert newest_stored(scheduler, seals, "main") is not None
    positions = IntakePositions(intake, Brokers("nowhere:1"))
    assert positions.place(0) == IntakePosition(0), "none yet"
    positions.write(0, IntakePosition(7))
    operator.put("skips/intake/submissions/0/7.json", b"")
    assert Skips(intake).ordered(0) == {7}
    Skips(intake).remove(0, 7)
    assert IntakePositions(operator, Brokers("nowhere:1")).place(0) == IntakePosition(7)
    login(Role.NODE, state).put(RESULT, b"video")
    ask(api, "api")
    assert api.get(RESULT, 5) == b"video"
    assert operator.delete_prefix("results/") == 1
    with pytest.raises(Missing):
        api.get(RESULT, 5)
    install = login(Role.INSTALL, state)
    install.ensure_bucket()
    require_conditional_writes(install)


def test_nobody_but_schedulers_writes_snapshots_and_nobody_but_operators_deletes_results() -> None:
    def may(right: Right, prefix: str) -> set[str]:
        return {role for role, rights in RIGHTS.items() if right in rights.get(prefix, ())}

    assert may(Right.WRITE, "snapshots/") == may(Right.DELETE, "snapshots/") == {Role.SCHEDULER}
    assert may(Right.WRITE, "positions/") == {Role.INTAKE}
    assert may(Right.DELETE, "results/") == {OPERATOR}
    assert may(Right.READ, "results/") == {Role.API, Role.INTAKE, Role.CPU_WORKER, OPERATOR}, "who can sign links"
    assert may(Right.WRITE, "inputs/") == {Role.CPU_WORKER}
    assert may(Right.READ, "uploads/") == {Role.API, Role.CPU_WORKER}
    assert may(Right.DELETE, "blobs/") == set()
