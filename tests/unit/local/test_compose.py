"""docker-compose.yml says what `headrace up` does, with Kafka's settings for three brokers. No docker needed."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from contract.signing import installation_keys
from local import database_passwords, kafka_logins
from local.composition import Composition
from local.database_passwords import PROCESSES
from local.installation_key import write_secrets
from local.kafka_server import guarded_settings
from local.options import Layout, Memory, Options
from runtime.roles import Role, variables_of
from runtime.settings import SECRETS_VARIABLE, Settings
from tests.compose import COMPOSE, ROOT, SERVICES, SET_BY_A_USER, broker_settings, filled

THREE = dict(
    line.split("=", 1)
    for line in (ROOT / "docker-compose.three-brokers.env").read_text().splitlines()
    if line and not line.startswith("#")
)
SECRETS = "/var/lib/headrace/secrets"
BROKERS = ("kafka", "kafka-2", "kafka-3")


OF_ITS_FOLDER = {"HEADRACE_KAFKA_USER": "headrace-x", "HEADRACE_KAFKA_PASSWORD": "drawn"}
"""What a process reads through HEADRACE_SECRETS."""


def test_it_runs_the_modules_that_headrace_up_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "HEADRACE_S3_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    layout = Layout(tmp_path)
    composition = Composition(Options(data=tmp_path), layout, Memory(cpu_clusters={"cpus": 0}), 1000)
    ours = set()
    for program in composition.programs + composition.nodes:
        assert program.process is not None
        after_m = program.process.command.index("-m") + 1
        ours.add((program.name, *program.process.command[after_m:]))
    theirs = {
        (name, *service["command"])
        for name, service in SERVICES.items()
        if service.get("image") == "headrace" and name != "install"
    }
    assert theirs == ours


def test_only_known_keys_are_used_and_everything_named_exists() -> None:
    known = {"name", "services", "volumes", "networks"}
    assert {key for key in COMPOSE if not key.startswith("x-")} == known
    service_keys = {
        "image", "build", "restart", "environment", "depends_on", "command", "ports", "volumes", "healthcheck",
        "profiles", "stop_grace_period", "networks", "read_only", "tmpfs", "cap_drop", "cap_add", "security_opt",
        "pids_limit", "mem_limit",
    }  # fmt: skip
    for name, service in SERVICES.items():
        assert set(service) <= service_keys, name
        for dependency, condition in service.get("depends_on", {}).items():
            assert dependency in SERVICES
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[dependency]
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        for volume in service.get("volumes", ()):
            named = volume["source"] if isinstance(volume, dict) else volume.partition(":")[0]
            assert named in COMPOSE["volumes"]
        assert "build" in service or re.fullmatch(r"[\w./-]+:[\w.-]+", service["image"])


def role_of(name: str) -> Role:
    return {"node-1": Role.NODE, "cpu-1": Role.CPU_WORKER}.get(name) or Role(name)


OURS = [name for name, service in SERVICES.items() if service["image"] == "headrace"]
NEEDED = {"HEADRACE_KAFKA", "DATABASE_URL", "HEADRACE_S3_ENDPOINT", "HEADRACE_S3_ACCESS_KEY", "HEADRACE_S3_SECRET_KEY"}
"""Settings whose defaults name servers of the same machine."""


@pytest.mark.parametrize("name", OURS)
def test_each_process_has_the_settings_of_its_role_and_no_others(name: str) -> None:
    given = set(SERVICES[name]["environment"]) - {SECRETS_VARIABLE}
    assert given <= variables_of(role_of(name))
    mounted = {"DATABASE_URL"} if name in PROCESSES else set()
    assert given >= variables_of(role_of(name)) & NEEDED - mounted
    assert not given & mounted, "each has its own login of the database among its secrets"


@pytest.mark.parametrize("name", OURS)
def test_its_settings_are_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting, text in (OF_ITS_FOLDER | SERVICES[name]["environment"]).items():
        if setting != SECRETS_VARIABLE:
            monkeypatch.setenv(setting, filled(text, SET_BY_A_USER))
    assert Settings().kafka_user == ("admin" if name == "install" else "headrace-x")


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.findall(r"\$\{\w*(?:PASSWORD|SECRET)\w*:-(?!\$)[^}]*\}", text)
    for service in SERVICES.values():
        for setting, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET_KEY|CREDENTIAL|DATABASE_URL|PLAIN_SASL_JAAS|ADMIN", setting):
                with pytest.raises(KeyError):
                    filled(value, {})
                assert "drawn" in filled(value, SET_BY_A_USER)


@pytest.mark.parametrize("name", ["scheduler", "intake", "api", "node-1", "cpu-1"])
def test_each_role_has_a_login_of_its_own_where_the_store_has_one(name: str) -> None:
    role = role_of(name).upper()
    own = SET_BY_A_USER | {f"S3_{role}_ACCESS_KEY": "own", f"S3_{role}_SECRET_KEY": "own's"}
    for service in set(SERVICES) - {"s3"}:
        environment = SERVICES[service].get("environment", {})
        if "HEADRACE_S3_SECRET_KEY" in environment:
            found = [filled(environment[f"HEADRACE_S3_{key}_KEY"], own) for key in ("ACCESS", "SECRET")]
            assert found == (["own", "own's"] if service == name else ["headrace", "drawn-too"])


def test_a_node_reaches_neither_postgres_nor_the_api() -> None:
    reached = [name for name in SERVICES if set(SERVICES[name]["networks"]) & set(SERVICES["node-1"]["networks"])]
    assert set(reached) == {*BROKERS, "s3", "node-1", "cpu-1"}
    assert COMPOSE["networks"]["control"] == {"internal": True}


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_may_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert service.get("read_only") or name in BROKERS, "its image writes its configuration when it starts"
    assert name == "postgres" or "cap_add" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_each_process_has_its_own_secrets_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = SERVICES["install"]["command"]
    nodes = [f"node.{arguments[at + 1]}" for at, word in enumerate(arguments) if word == "--node"]
    write_secrets(tmp_path, nodes)
    passwords = kafka_logins.write_secrets(tmp_path, ["local", "cpus"], ["local/node-1", "cpus/cpu-1"])
    address = Settings(database_url="postgresql://headrace:drawn@postgres:5432/headrace")
    logins = database_passwords.write_secrets(tmp_path, address)
    assert set(logins) == {"api", "intake", "projector", "relay", "operator"}
    mounted = {}
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            if isinstance(volume, dict):
                assert (volume["source"], volume["target"], volume["read_only"]) == ("secrets", SECRETS, True)
                mounted[name] = volume["volume"]["subpath"]
                assert service["environment"][SECRETS_VARIABLE] == SECRETS
    assert mounted == {name: name for name in ("scheduler", "api", "intake", "projector", "relay", "node-1", "cpu-1")}
    settings = {}
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for name, folder in mounted.items():
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700
        monkeypatch.setenv(SECRETS_VARIABLE, str(tmp_path / folder))
        settings[name] = Settings(kafka_security="sasl_plaintext")
        role = {"node-1": "node.local", "cpu-1": "node.cpus"}.get(name, name)
        assert (settings[name].kafka_user, settings[name].kafka_password) == (f"headrace-{role}", passwords[role])
        own = f"postgresql+psycopg://{name}:{logins.get(name)}@postgres:5432/headrace"
        assert settings[name].database_url == (
            own if name in PROCESSES else Settings.model_fields["database_url"].default
        )
    assert settings.pop("projector").signing_key == ""
    found = installation_keys(settings.pop("scheduler").installation_keys)
    signers = {"node-1": "node.local/node-1", "cpu-1": "node.cpus/cpu-1"}
    for name, signer in ({name: name for name in ("api", "intake", "relay")} | signers).items():
        assert settings[name].signing_key == found[0].of(signer).text
        assert settings[name].installation_keys == ""
        assert (settings[name].join_token != "") == (name in signers), "a new one each time that `install` runs"
    write_secrets(tmp_path, nodes)
    assert kafka_logins.write_secrets(tmp_path, [], []) == passwords, "what is there stays"
    assert database_passwords.write_secrets(tmp_path, address) == logins
    monkeypatch.setenv(SECRETS_VARIABLE, str(tmp_path / "scheduler"))
    assert installation_keys(Settings(kafka_security="sasl_plaintext").installation_keys) == found, "as it does here"


@pytest.mark.parametrize("broker", BROKERS)
def test_every_listener_asks_for_a_name_and_rules_hold_as_in_the_stack(broker: str) -> None:
    """A broker with the stack's settings is tried: tests/integration/runtime/test_principals.py."""
    found, guarded = broker_settings(broker), guarded_settings("drawn-by-lot")
    listeners = "listener.security.protocol.map"
    assert found[listeners] == f"{guarded.pop(listeners)},HOST:SASL_PLAINTEXT"
    assert {key: found.get(key) for key in guarded} == guarded
    assert {name.partition(":")[0] for name in found["listeners"].split(",")} == {"CLIENTS", "CONTROLLER", "HOST"}
    on_this_machine = {key: value for key, value in found.items() if key.startswith("listener.name.host.")}
    scram = guarded["listener.name.clients.scram-sha-512.sasl.jaas.config"]
    assert on_this_machine == {
        "listener.name.host.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.host.scram-sha-512.sasl.jaas.config": scram,
    }


def test_the_admin_shows_its_password_to_brokers_alone() -> None:
    assert SERVICES["kafka-admin"]["networks"] == ["control"]
    assert SERVICES["install"]["depends_on"]["kafka-admin"] == {"condition": "service_completed_successfully"}
    knowing = {
        name for name, service in SERVICES.items() if "drawn-by-lot" in filled(service["environment"], SET_BY_A_USER)
    }
    assert knowing == {*BROKERS, "kafka-admin", "install"}


@pytest.mark.parametrize("broker", BROKERS)
def test_three_brokers_lose_no_acknowledged_record_with_one_of_them(broker: str) -> None:
    environment = {key: filled(value, THREE | SET_BY_A_USER) for key, value in SERVICES[broker]["environment"].items()}
    assert environment["KAFKA_DEFAULT_REPLICATION_FACTOR"] == "3"
    assert environment["KAFKA_MIN_INSYNC_REPLICAS"] == "2"
    assert environment["KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"] == "false"
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    voters = environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(",")
    assert f"{environment['KAFKA_NODE_ID']}@{broker}:9093" in voters
    assert len(voters) == 3
    assert broker == "kafka" or SERVICES[broker]["profiles"] == [THREE["COMPOSE_PROFILES"]]


def test_one_broker_is_complete_by_itself() -> None:
    environment = {key: filled(value, SET_BY_A_USER) for key, value in SERVICES["kafka"]["environment"].items()}
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == "1@kafka:9093"
    assert environment["KAFKA_DEFAULT_REPLICATION_FACTOR"] == environment["KAFKA_MIN_INSYNC_REPLICAS"] == "1"
    assert filled(SERVICES["api"]["environment"]["HEADRACE_KAFKA"], {}) == "kafka:9092"


def test_the_image_has_an_init_that_reaps_what_processes_leave() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"apt-get install .*\btini\b", dockerfile)
    assert 'ENTRYPOINT ["tini", "--", "python", "-m"]' in dockerfile
    assert not [name for name, service in SERVICES.items() if service.get("init")], "two of them"


def test_the_image_holds_every_package() -> None:
    copied = re.findall(r"^COPY (\w+) \./\1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    allowed = set(re.findall(r"^!(\w+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench", "docs"}
    assert packages == set(copied)
    assert packages <= allowed
