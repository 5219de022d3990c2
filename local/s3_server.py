"""One S3 server (S3Proxy over the file system) in a directory of ours, with a login for each role.

S3Proxy has no rights. It reads a file of properties for each login, though, and the names of objects that a login uses
go through a pattern of that file first: a name outside the role's prefixes becomes one that S3Proxy refuses with 400.
So a login reads, writes and deletes below its own prefixes only, and one process serves all of them. What S3Proxy
cannot keep: below its prefixes a login may do everything, and it may list every name and make further buckets.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from local.jars import cache
from local.java import find_java, java_environment, properties
from local.java_server import JavaServer
from local.own_files import replace
from local.ports import HOST
from local.processes import Process
from runtime.roles import Role
from runtime.store_rights import RIGHTS, Right

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0

JVM = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

_LOGBACK = """<configuration>
  <appender name="STDERR" class="ch.qos.logback.core.ConsoleAppender">
    <target>System.err</target>
    <encoder><pattern>%d %-5level %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="STDERR"/></root>
</configuration>
"""

_LOGBACK_FILE = "logback.xml"
_IDENTITY, _CREDENTIAL = "s3proxy.identity", "s3proxy.credential"

OWNER = "headrace"
"""The login of people and of the installation, which reaches everything."""

PREFIXES_OF: Mapping[str, tuple[str, ...]] = {
    role: tuple(prefix for prefix, rights in RIGHTS[role].items() if rights - {Right.LIST})
    for role in (Role.SCHEDULER, Role.INTAKE, Role.API, Role.NODE, Role.CPU_WORKER)
}
"""Below which prefixes the login of a process reaches objects."""

NOBODY = "nobody"
"""The last login, which reaches nothing. S3Proxy answers those without a login as this one, where whoever may write an
object made it public."""

_UPLOAD, _PART = r"\.s3proxy-mpu-stub-[0-9a-f-]{36}\z", r"\.mpus-[0-9a-f-]{36}-"
"""Under such a name S3Proxy remembers an upload in parts; so does the name of a part begin. S3Proxy asks for both with
the login of whoever uploads."""
_REFUSED = ".s3proxy-slash/shut"
"""A name that S3Proxy refuses to everybody, whatever is asked."""


class StoreLogin(NamedTuple):
    access_key: str
    secret_key: str


def outside(prefixes: Collection[str]) -> str:
    """The pattern of names that a login of these prefixes does not reach. S3Proxy folds `..`, `.` and empty parts of a
    name after the pattern was applied, so names with such parts are none of its names either."""
    within = "|".join([_UPLOAD, *(f"(?:{_PART})?{re.escape(prefix)}" for prefix in prefixes)])
    return rf"(?s)\A(?!{within}).*\z|\A(?:.*/)?\.{{0,2}}(?:/.*)?\z"


def _file_of(login: str) -> str:
    return "s3proxy.properties" if login == OWNER else f"s3proxy-{login}.properties"


def login_in(data: Path, login: str) -> StoreLogin | None:
    """The login that a file of this directory keeps: the owner's, or a role's. None where there is no whole one."""
    try:
        lines = (data / _file_of(login)).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    known = {name: value for name, _, value in (line.partition("=") for line in lines)}
    if known.get(_IDENTITY) and known.get(_CREDENTIAL):
        return StoreLogin(known[_IDENTITY], known[_CREDENTIAL])
    return None


class S3Server(JavaServer):
    """Its logins are drawn once for each data directory, and kept there in files that only the owner can read."""

    name = "s3"
    ready_timeout_s = READY_TIMEOUT_S
    stop_timeout_s = STOP_TIMEOUT_S

    def __init__(self, data: Path, logs: Path, *, port: int) -> None:
        self.port = port
        self._data = data
        self._logs = logs
        self.logins = {login: self._login(login) for login in (OWNER, *PREFIXES_OF, NOBODY)}
        self.access_key, self.secret_key = self.logins[OWNER]
        super().__init__()

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def objects_dir(self) -> Path:
        """Where the objects' bytes are: <bucket>/<key>."""
        return self._data / "objects"

    def _login(self, login: str) -> StoreLogin:
        """That of the file; a new one when there is no file, or not a whole one: nobody else keeps it."""
        return login_in(self._data, login) or StoreLogin(login, secrets.token_hex(20))

    def _prepare(self) -> Process:
        java = find_java()
        classpath = cache.classpath("s3proxy")
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.objects_dir.mkdir(mode=0o700, exist_ok=True)
        replace(self._data / _LOGBACK_FILE, _LOGBACK.encode())
        command = [java, *JVM, f"-Dlogback.configurationFile={_LOGBACK_FILE}", "-cp", classpath]
        command += ["org.gaul.s3proxy.Main"]
        for login in self.logins:
            replace(self._data / _file_of(login), properties(self._properties_of(login)).encode())
            command += ["--properties", _file_of(login)]
        return Process("s3", command, self._logs / "s3.log", env=java_environment(), directory=self._data)

    def _properties_of(self, login: str) -> dict[str, str]:
        settings = {
            "s3proxy.endpoint": self.endpoint,
            "s3proxy.authorization": "aws-v2-or-v4",
            _IDENTITY: self.logins[login].access_key,
            _CREDENTIAL: self.logins[login].secret_key,
            "jclouds.provider": "filesystem-nio2",
            "jclouds.filesystem.basedir": str(self.objects_dir.absolute()),  # of a relative one it lists nothing
        }
        if login != OWNER:
            settings["s3proxy.regex-blobstore.match.outside"] = outside(PREFIXES_OF.get(login, ()))
            settings["s3proxy.regex-blobstore.replace.outside"] = _REFUSED
        return settings
