"""Ports: configured ones must be free, remembered ones are used again, the user's own servers win."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import make_url

from contract.join_tokens import JOIN_TOKEN_HEADER, TOKEN_LIFE_MS, good_until_ms
from contract.signing import installation_keys
from local import composition as composition_module
from local.composition import Composition
from local.errors import CannotStart
from local.first_policy import POLICY_FILE, cpu_clusters, read_policy
from local.installation_key import KeyWatch, finish, keys_in, rotate
from local.java import java_environment
from local.options import Layout, Memory, Options, from_argument, recall, remember, to_argument
from local.own_files import read
from local.ports import HOST, free_port
from local.processes import Process
from local.program import StackProgram
from runtime.roles import Role, variables_of
from runtime.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "HEADRACE_S3_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(composition_module, "PORT_RELEASE_S", 0.1)


def compose(options: Options) -> Composition:
    layout = Layout(options.data)
    return Composition(options, layout, recall(layout), 1000)


@pytest.mark.parametrize(
    ("option", "said"), [("api_port", "--api-port"), ("kafka_port", "--kafka-port"), ("s3_port", "--s3-port")]
)
def test_a_configured_port_in_use_is_refused(tmp_path: Path, option: str, said: str) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"port {port} .*in use.*{said}"):
            compose(msgspec.structs.replace(Options(data=tmp_path), **{option: port}))


def test_a_configured_port_is_used_and_remembered(tmp_path: Path) -> None:
    port = free_port()
    assert compose(Options(data=tmp_path, api_port=port)).settings.api_url == f"http://{HOST}:{port}"
    assert compose(Options(data=tmp_path)).ports["api"] == port


def test_the_same_ports_are_used_again(tmp_path: Path) -> None:
    first = compose(Options(data=tmp_path))
    assert len(set(first.ports.values())) == len(first.ports)
    second = compose(Options(data=tmp_path))
    assert second.ports == first.ports
    assert second.warnings == []


def test_a_remembered_port_that_was_taken_meanwhile_is_replaced_with_a_warning(tmp_path: Path) -> None:
    first = compose(Options(data=tmp_path))
    with socket.create_server((HOST, first.ports["kafka"])):
        second = compose(Options(data=tmp_path))
    assert second.ports["kafka"] != first.ports["kafka"]
    assert second.warnings == [
        f"port {first.ports['kafka']}, which kafka had last time, is in use by another process: kafka has a new one"
    ]


def test_servers_of_the_users_own_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example/x")
    monkeypatch.setenv("HEADRACE_S3_ENDPOINT", "http://s3.example")
    composition = compose(Options(data=tmp_path))
    assert [server.name for server in composition.servers] == ["kafka"]
    assert composition.settings.database_url == "postgresql+psycopg://db.example/x"
    assert composition.settings.s3_endpoint == "http://s3.example"


def test_nodes_and_slots_are_as_asked_for(tmp_path: Path) -> None:
    composition = compose(Options(data=tmp_path, nodes=2, slots=3))
    assert [node.name for node in composition.nodes] == ["node-1", "node-2"]
    process = composition.nodes[1].process
    assert process is not None
    assert process.command[-6:] == ["--cluster", "local", "--node", "node-2", "--slots", "3"]


def test_each_node_has_an_address_and_ports_of_its_own(tmp_path: Path) -> None:
    processes = [node.process for node in compose(Options(data=tmp_path, nodes=3)).nodes]
    environments = [process.env for process in processes if process is not None]
    addresses = [environment["HEADRACE_NODE_ADDRESS"] for environment in environments if environment is not None]
    assert addresses == [f"{HOST}:10000", f"{HOST}:11000", f"{HOST}:12000"]


def environments(composition: Composition) -> dict[str, dict[str, str]]:
    """By program, what of its environment has to do with signing."""
    names = ("HEADRACE_SIGNER", "HEADRACE_SIGNING_KEY", "HEADRACE_INSTALLATION_KEYS")
    processes = {part.name: part.process for part in composition.programs + composition.nodes}
    return {
        name: {one: process.env.get(one, "") for one in names}
        for name, process in processes.items()
        if process is not None and process.env is not None
    }


def test_each_process_has_its_own_key_and_the_scheduler_alone_the_installations(tmp_path: Path) -> None:
    composition = compose(Options(data=tmp_path, nodes=2))
    file = Layout(tmp_path).installation_keys
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (key,) = installation_keys(file.read_text())
    signers = {"api": "api", "intake": "intake", "relay": "relay"}
    signers |= {name: f"node.local/{name}" for name in ("node-1", "node-2")}
    found = environments(composition)
    for name, signer in signers.items():
        assert tuple(found[name].values()) == (signer, key.of(signer).text, "")
    assert tuple(found["scheduler"].values()) == ("", "", key.secret.hex())
    assert tuple(found["projector"].values()) == ("", "", "")
    assert (composition.settings.signer, composition.settings.installation_keys) == ("operator.owner", "")
    assert environments(compose(Options(data=tmp_path, nodes=2))) == found, "the next start has the same keys"


def test_a_node_gets_a_join_token_of_its_own_at_each_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Process, "start", lambda process: None)
    composition = compose(Options(data=tmp_path, nodes=2))
    (key,) = installation_keys(Layout(tmp_path).installation_keys.read_text())
    untils = []
    for at_s in (1_790_000_000, 1_790_003_600):
        monkeypatch.setattr("time.time_ns", lambda at_ns=at_s * 10**9: at_ns)
        for node in composition.nodes:
            node.start()
            assert node.process is not None
            assert node.process.env is not None
            token = node.process.env["HEADRACE_JOIN_TOKEN"].encode()
            given = [(JOIN_TOKEN_HEADER, token)]
            assert good_until_ms([key], given, "local", "another", at_s * 1000) == 0
            untils.append(good_until_ms([key], given, "local", node.name, at_s * 1000) - at_s * 1000)
    assert untils == [TOKEN_LIFE_MS] * 4


def test_another_key_starts_anew_whom_it_matters_to_and_the_scheduler_first(tmp_path: Path) -> None:
    composition, file = compose(Options(data=tmp_path)), Layout(tmp_path).installation_keys
    before = {part.name: part for part in (*composition.programs, *composition.nodes)}
    watch = KeyWatch(file)
    assert not watch.has_changed()

    def changed() -> list[str]:
        """Who has other settings now, in the order in which they start anew."""
        assert watch.has_changed()
        assert not watch.has_changed()
        found = []
        for program in composition.renewed(keys_in(file)):
            old = before[program.name]
            assert isinstance(old, StackProgram)
            if not old.is_as(program):
                found.append(program.name)
            before[program.name] = program
        return found

    new, old = rotate(file)
    assert changed() == ["scheduler", "api", "intake", "relay", "node-1"]
    found = environments(compose(Options(data=tmp_path)))
    assert found["scheduler"]["HEADRACE_INSTALLATION_KEYS"] == f"{new.secret.hex()},{old.secret.hex()}"
    assert composition.settings.signing_key == new.of("operator.owner").text
    assert {before[name].key_id for name in ("api", "node-1")} == {new.id}  # type: ignore[attr-defined]
    with pytest.raises(CannotStart, match="one installation key in force"):
        rotate(file)
    assert finish(file) == old
    assert changed() == ["scheduler"], "all others have keys of the new one already"
    assert finish(file) is None
    file.unlink()
    assert not watch.has_changed(), "nobody draws a key that replaces all others at once"


def test_the_first_policy_of_a_stack_asks_for_tokens_and_a_users_own_as_it_says(tmp_path: Path) -> None:
    assert read_policy().join_tokens
    own = tmp_path / "own.yaml"
    own.write_text(POLICY_FILE.read_text().replace("join_tokens: true", "join_tokens: false"))
    assert not read_policy(own).join_tokens


def test_each_process_has_its_own_user_of_the_broker_and_no_other(tmp_path: Path) -> None:
    composition = compose(Options(data=tmp_path, nodes=2, cluster="c"))
    passwords = read(Layout(tmp_path).kafka_users, dict[str, str])
    roles = {name: name for name in ("scheduler", "api", "projector", "intake", "relay")}
    roles |= dict.fromkeys(("node-1", "node-2"), "node.c")
    for part in composition.programs + composition.nodes:
        assert part.process is not None
        assert part.process.env is not None
        found, role = part.process.env, roles.pop(part.name)
        assert found["HEADRACE_KAFKA_USER"] == f"headrace-{role}"
        assert found["HEADRACE_KAFKA_SECURITY"] == "sasl_plaintext"
        assert {known for known in passwords if passwords[known] in found.values()} == {role}
    assert not roles
    assert composition.settings.kafka_user == "headrace-operator"
    assert composition.kafka.brokers.credentials.password == passwords["admin"]


def test_settings_of_other_brokers_are_not_those_of_the_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"SECURITY": "sasl_ssl", "MECHANISM": "OAUTHBEARER", "USER": "id", "PASSWORD": "hush"}
    given["TOKEN_URL"] = "https://tokens.example"
    for name, value in given.items():
        monkeypatch.setenv(f"HEADRACE_KAFKA_{name}", value)
    settings = compose(Options(data=tmp_path)).settings
    assert Settings.model_validate(settings.model_dump()).kafka_mechanism == "SCRAM-SHA-512"
    assert (settings.kafka_user, settings.kafka_token_url) == ("headrace-operator", "")


def test_each_process_has_the_settings_of_its_role_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "HEADRACE_API_KEY", "HEADRACE_INSTALLATION_KEYS"):
        monkeypatch.setenv(name, "ab" * 32)
    composition = compose(Options(data=tmp_path))
    found = {}
    for part in composition.programs + composition.nodes:
        assert part.process is not None
        assert part.process.env is not None
        found[part.name] = {name for name in part.process.env if name.startswith(("HEADRACE_", "DATABASE_", "PG"))}
    names = {"scheduler", "intake", "projector", "relay", "api"}
    assert found.pop("node-1") == variables_of(Role.NODE)
    asking = {name for name in names if "PGPASSWORD" in found[name]}
    assert asking == {"intake", "projector", "relay", "api"}, "the PG* of libpq, for whoever asks a database"
    assert {name: found[name] - {"PGPASSWORD"} for name in names} == {name: variables_of(Role(name)) for name in names}


def test_each_process_has_a_login_of_the_database_of_its_own(tmp_path: Path) -> None:
    composition = compose(Options(data=tmp_path))
    logins = {}
    for part in composition.programs + composition.nodes:
        assert part.process is not None
        assert part.process.env is not None
        if "DATABASE_URL" in part.process.env:
            url = make_url(part.process.env["DATABASE_URL"])
            logins[part.name] = (url.username, url.password)
    assert {name: login for name, (login, _) in logins.items()} == {
        name: name for name in ("api", "intake", "projector", "relay")
    }
    assert make_url(composition.settings.database_url).username == "operator"
    assert make_url(composition.owner_settings.database_url).username == "postgres"
    passwords = composition.database_logins
    assert set(passwords) == {*logins, "operator"}
    assert all(passwords[name] == password for name, (_, password) in logins.items())
    assert len(set(passwords.values())) == len(passwords)


def test_a_database_of_the_users_own_has_the_login_that_he_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:hers@db.example/x")
    composition = compose(Options(data=tmp_path))
    assert composition.database_logins == {}
    assert composition.owner_settings.database_url == composition.settings.database_url
    assert make_url(composition.settings.database_url).username == "ann"


def test_the_numbers_of_the_api_have_a_port_of_their_own(tmp_path: Path) -> None:
    composition = compose(Options(data=tmp_path))
    (api,) = [program for program in composition.programs if program.name == "api"]
    assert api.process is not None
    assert api.process.env is not None
    port = api.process.env["HEADRACE_METRICS_PORT"]
    assert composition.api_metrics_url == f"http://{HOST}:{port}/metrics"
    assert port not in ("0", api.process.env["HEADRACE_API_PORT"])
    assert api.process.env["HEADRACE_API_METRICS_PUBLIC"] == "False"


def test_servers_that_are_not_ours_have_no_setting_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_S3_SECRET_KEY", "hush")
    monkeypatch.setenv("PGPASSWORD", "hush")
    assert "hush" not in java_environment().values()
    assert java_environment()["PATH"]


def test_a_new_key_before_the_old_one_signs_and_both_are_in_force(tmp_path: Path) -> None:
    compose(Options(data=tmp_path))
    file = Layout(tmp_path).installation_keys
    new = "ab" * 32
    file.write_text(f"{new},{file.read_text()}\n")
    found = environments(compose(Options(data=tmp_path)))
    assert found["scheduler"]["HEADRACE_INSTALLATION_KEYS"] == file.read_text().strip()
    assert found["api"]["HEADRACE_SIGNING_KEY"] == installation_keys(new)[0].of("api").text


def test_a_file_that_holds_no_key_is_left_alone_and_said(tmp_path: Path) -> None:
    Layout(tmp_path).installation_keys.write_text("lost")
    with pytest.raises(CannotStart, match="expected one or two installation keys"):
        compose(Options(data=tmp_path))
    assert Layout(tmp_path).installation_keys.read_text() == "lost"


def test_options_survive_a_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = Options(data=Path("data"), slots=4, policy=Path("policy.yaml"))
    again = from_argument(to_argument(options))
    assert again == Options(data=tmp_path / "data", slots=4, policy=tmp_path / "policy.yaml")
    assert from_argument(to_argument(Options(data=tmp_path))) == Options(data=tmp_path)


def test_an_unreadable_memory_of_nothing_is_empty(tmp_path: Path) -> None:
    assert recall(Layout(tmp_path)) == Memory()


def test_each_process_has_the_login_of_its_role_at_the_stacks_store(tmp_path: Path) -> None:
    composition = compose(Options(data=tmp_path))
    assert composition.s3 is not None
    environments = {
        part.name: part.process.env or {} for part in [*composition.programs, *composition.nodes] if part.process
    }
    logins = {name: environment.get("HEADRACE_S3_SECRET_KEY", "") for name, environment in environments.items()}
    expected = {role: composition.s3.logins[role].secret_key for role in ("scheduler", "api", "intake")}
    node = composition.s3.logins["node"].secret_key
    assert logins == expected | {"node-1": node, "projector": "", "relay": ""}
    assert composition.settings.s3_secret_key == composition.s3.secret_key not in logins.values()


def test_each_cluster_of_cpu_workers_gets_as_many_as_asked_for_in_the_partition_of_its_pool(tmp_path: Path) -> None:
    remember(Layout(tmp_path), Memory(cpu_clusters={"cpus": 0, "more": 3}))
    composition = compose(Options(data=tmp_path, cpu_workers=2))
    found = {}
    for worker in composition.nodes[1:]:
        assert worker.process is not None
        _, module, *arguments = worker.process.command[1:]
        found[worker.name] = (module, arguments)
    assert found == {
        f"cpu-{number}": (
            "cpu_worker",
            ["--cluster", cluster, "--node", f"cpu-{number}", "--slots", "2", "--partition", partition],
        )
        for number, (cluster, partition) in enumerate(
            [("cpus", "0"), ("cpus", "0"), ("more", "3"), ("more", "3")], start=1
        )
    }
    first = composition.nodes[1].process
    assert first is not None
    own = first.env or {}
    assert own["HEADRACE_SIGNER"] == "node.cpus/cpu-1"
    assert own["HEADRACE_KAFKA_USER"] == "headrace-node.cpus"
    assert own["HEADRACE_S3_ACCESS_KEY"] == "cpu_worker"
    assert "DATABASE_URL" not in own
    assert recall(Layout(tmp_path)).cpu_clusters == {"cpus": 0, "more": 3}, "the next start has them too"


def test_the_first_policy_says_where_cpu_workers_are() -> None:
    assert cpu_clusters(read_policy()) == {"cpus": 0}


def test_a_policy_without_such_a_cluster_gets_none(tmp_path: Path) -> None:
    assert [node.name for node in compose(Options(data=tmp_path)).nodes] == ["node-1"]
