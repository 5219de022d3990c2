"""One S3 server (S3Proxy over the file system) in a directory of ours."""

from __future__ import annotations

import secrets
from pathlib import Path

from local.jars import cache
from local.java import find_java, java_environment, properties
from local.java_server import JavaServer
from local.own_files import replace
from local.ports import HOST
from local.processes import Process

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

_PROPERTIES, _LOGBACK_FILE = "s3proxy.properties", "logback.xml"
_IDENTITY, _CREDENTIAL = "s3proxy.identity", "s3proxy.credential"


class S3Server(JavaServer):
    """Its credentials are drawn once for each data directory, and kept there in a file that only the owner can read."""

    name = "s3"
    ready_timeout_s = READY_TIMEOUT_S
    stop_timeout_s = STOP_TIMEOUT_S

    def __init__(self, data: Path, logs: Path, *, port: int) -> None:
        self.port = port
        self._data = data
        self._logs = logs
        self._properties = data / _PROPERTIES
        self.access_key, self.secret_key = self._credentials()
        super().__init__()

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def objects_dir(self) -> Path:
        """Where the objects' bytes are: <bucket>/<key>."""
        return self._data / "objects"

    def _credentials(self) -> tuple[str, str]:
        """Those of the file; new ones when there is no file, or not a whole one: nobody else keeps them."""
        known: dict[str, str] = {}
        if self._properties.exists():
            lines = self._properties.read_text(errors="replace").splitlines()
            known = {name: value for name, _, value in (line.partition("=") for line in lines)}
        if known.get(_IDENTITY) and known.get(_CREDENTIAL):
            return known[_IDENTITY], known[_CREDENTIAL]
        return "headrace", secrets.token_hex(20)

    def _prepare(self) -> Process:
        java = find_java()
        classpath = cache.classpath("s3proxy")
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.objects_dir.mkdir(mode=0o700, exist_ok=True)
        settings = {
            "s3proxy.endpoint": self.endpoint,
            "s3proxy.authorization": "aws-v2-or-v4",
            _IDENTITY: self.access_key,
            _CREDENTIAL: self.secret_key,
            "jclouds.provider": "filesystem-nio2",
            "jclouds.filesystem.basedir": str(self.objects_dir.absolute()),  # of a relative one it lists nothing
        }
        replace(self._properties, properties(settings).encode())
        replace(self._data / _LOGBACK_FILE, _LOGBACK.encode())
        command = [java, *JVM, f"-Dlogback.configurationFile={_LOGBACK_FILE}", "-cp", classpath]
        command += ["org.gaul.s3proxy.Main", "--properties", _PROPERTIES]
        return Process("s3", command, self._logs / "s3.log", env=java_environment(), directory=self._data)
