"""A process gets the settings of its role: all that it reads, and nothing that another role's credentials are in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime.roles import SETTINGS, Role, environment_of, environment_of_a_server, variables_of
from runtime.settings import Settings

ROOT = Path(__file__).parents[3]
OF_THE_COMMAND_LINE = {"api_url", "api_key"}
READ_BY = {
    Role.SCHEDULER: ("streams/scheduler.py", "streams/ledger", "streams/hosting", "runtime/object_store.py"),
    Role.INTAKE: (
        "streams/intake.py",
        "streams/door",
        "streams/hosting",
        "runtime/object_store.py",
        "runtime/postgres.py",
    ),
    Role.PROJECTOR: ("streams/projector.py", "streams/hosting", "runtime/postgres.py"),
    Role.RELAY: ("registry/relay.py", "runtime/postgres.py"),
    Role.API: ("api", "runtime/object_store.py", "runtime/postgres.py"),
    Role.NODE: ("gpu_worker", "runtime/worker", "runtime/object_store.py"),
    Role.CPU_WORKER: (
        "cpu_worker",
        "runtime/worker/node_store.py",
        "runtime/worker/options.py",
        "runtime/object_store.py",
    ),
    Role.INSTALL: ("local/install.py", "runtime/object_store.py", "runtime/postgres.py"),
}
"""Where each role's processes read settings."""
SIGNING = {"signer", "signing_key"}
HUSH = {"PGPASSWORD": "hush", "AWS_SECRET_ACCESS_KEY": "hush", "DATABASE_URL": "hush", "HEADRACE_API_KEY": "hush"}


def files_of(role: Role) -> list[Path]:
    places = [ROOT / place for place in READ_BY[role]]
    return [file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place])]


@pytest.mark.parametrize("role", Role)
def test_what_a_role_reads_it_gets(role: Role) -> None:
    names = {name for file in files_of(role) for name in re.findall(r"\b_?settings\.(\w+)", file.read_text())}
    read = names & set(Settings.model_fields)
    assert read - {"s3_public_endpoint"} <= SETTINGS[role], "else it would run with the default"
    assert len(read) > 1


def test_every_setting_is_some_roles() -> None:
    assert set().union(*SETTINGS.values(), OF_THE_COMMAND_LINE) == set(Settings.model_fields)


@pytest.mark.parametrize("role", Role)
def test_a_process_reads_its_settings_again_and_finds_no_others(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(kafka="k:1", s3_secret_key="own", database_url="postgresql://u:own@h/d", api_key="hr_own")
    given = environment_of(role, settings, {"PATH": "/bin", **HUSH})
    assert given["PATH"] == "/bin"
    ours = {name for name in given if name.startswith(("HEADRACE_", "DATABASE_URL"))}
    assert ours == variables_of(role)
    assert "HEADRACE_API_KEY" not in ours
    assert ("PGPASSWORD" in given) == ("DATABASE_URL" in ours)
    assert ("AWS_SECRET_ACCESS_KEY" in given) == ("HEADRACE_S3_SECRET_KEY" in ours)
    for name in ("HEADRACE_KAFKA", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ours:
        monkeypatch.setenv(name, given[name])
    assert Settings().kafka == "k:1"


def test_a_node_where_models_run_knows_no_database_and_no_key_but_its_own() -> None:
    assert not {"database_url", "installation_keys", "api_key"} & SETTINGS[Role.NODE]
    assert [role for role in Role if "installation_keys" in SETTINGS[role]] == [Role.SCHEDULER]
    assert not {"database_url", *SIGNING} & SETTINGS[Role.SCHEDULER], (
        "it reads the installation's key and signs nothing"
    )
    assert not [role for role in (Role.PROJECTOR, Role.RELAY) if "s3_secret_key" in SETTINGS[role]]


def test_a_server_that_is_not_ours_gets_none() -> None:
    assert environment_of_a_server({"PATH": "/bin", **HUSH}) == {"PATH": "/bin"}
