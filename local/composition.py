"""Which servers and processes make the stack, on which ports, with which settings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import msgspec

from contract import signers
from contract.access import node_role
from contract.signing import InstallationKey, installation_keys
from local import installation_key, kafka_logins, ports
from local.database_passwords import LOGINS, PROCESSES
from local.kafka_server import ADMIN, KafkaServer
from local.options import Layout, Memory, Options, brings_own_s3, remember
from local.ports import HOST
from local.postgres_server import OWNER, PostgresServer
from local.program import StackProgram
from local.s3_server import S3Server
from local.server import StackServer
from runtime.roles import OPERATOR, Role
from runtime.settings import Settings

PORT_RELEASE_S = 2.0
"""How long to wait for a port of the last run to become free. The processes of a killed stack die a moment after it."""

API_PORT_DEFAULT = 8470
_CPU_SLOTS = 2
"""Of each CPU worker: one file is decoded while the next is fetched."""
_API_METRICS = "api-metrics"
"""Names the port of the API's numbers, beside the one that its callers reach."""


class Composition:
    """Whoever runs the stack starts `servers` first, installs what belongs in them, and then starts `programs` in their
    order and `nodes`.

    $DATABASE_URL and $HEADRACE_S3_ENDPOINT name servers of the user's own, which replace the stack's. CannotStart when
    a configured port is taken.
    """

    def __init__(
        self,
        options: Options,
        layout: Layout,
        memory: Memory,
        words_kept_ms: int,
        *,
        clusters: Iterable[str] = (),
    ) -> None:
        """`clusters`: those of the policy. Their nodes get a user of the broker, if they have none yet."""
        self._options = options
        self._layout = layout
        self._cpu_clusters = memory.cpu_clusters
        self._given = Settings()
        self.warnings: list[str] = []
        self._keys = installation_keys(self._given.installation_keys) or installation_key.keys_in(
            layout.installation_keys
        )
        """The first one signs; all of them are in force."""
        self._passwords = kafka_logins.draw(layout.kafka_users, {*clusters, options.cluster, *memory.cpu_clusters})
        self.ports = self._choose_ports(memory)
        remember(layout, msgspec.structs.replace(memory, ports=self.ports, words_kept_ms=words_kept_ms))
        self.kafka = KafkaServer(
            layout.kafka,
            layout.logs,
            port=self.ports["kafka"],
            controller_port=self.ports["kafka-controller"],
            words_kept_ms=words_kept_ms,
            admin_password=self._passwords[ADMIN],
        )
        self.postgres = None if os.environ.get("DATABASE_URL") else PostgresServer(layout.postgres, layout.logs)
        self.s3 = S3Server(layout.s3, layout.logs, port=self.ports["s3"]) if brings_own_s3() else None
        self.settings = self._settings()
        self.owner_settings = self._as(self.settings, OWNER)
        """For whoever makes the tables, and nobody else."""
        self.servers: list[StackServer] = [s for s in (self.kafka, self.postgres, self.s3) if s is not None]
        self.programs: list[StackServer] = [*self._programs()]
        self.nodes: list[StackServer] = [*self._nodes(), *self._cpu_workers()]

    def _settings(self) -> Settings:
        """The settings of whoever talks to the stack. Each process of the stack has `data`, `metrics_port`,
        `node_address`, a signer, a user of the broker and a login of the database of its own; these are an
        operator's."""
        changes: dict[str, object] = {
            "kafka": self.kafka.bootstrap,
            "data": self._layout.processes,
            "api_host": HOST,
            "api_port": self.ports["api"],
            "api_url": f"http://{HOST}:{self.ports['api']}",
            "api_key": "",
            "join_token": "",
            **installation_key.settings_of(self._keys[0].of(installation_key.OWNER)),
            **kafka_logins.settings_of(self._passwords, signers.OPERATOR),
        }
        if self.s3 is not None:
            changes |= {
                "s3_endpoint": self.s3.endpoint,
                "s3_access_key": self.s3.access_key,
                "s3_secret_key": self.s3.secret_key,
                # S3Proxy takes a part of an upload that ended, and keeps it where nobody finds it
                "upload_links": False,
            }
        return self._as(self._given.model_copy(update=changes), OPERATOR)

    def _as(self, settings: Settings, login: str) -> Settings:
        """These settings with a login of our own database. A database of the user's own has the login that he gave."""
        if self.postgres is None:
            return settings
        return settings.model_copy(update={"database_url": self.postgres.url_of(login)})

    @property
    def database_logins(self) -> dict[str, str]:
        """The passwords of the logins that our own database must have; none for a database of the user's own."""
        return {} if self.postgres is None else {login: self.postgres.passwords.of(login) for login in LOGINS}

    @property
    def follows_key_file(self) -> bool:
        """The installation's keys are those of the data directory, and not those of HEADRACE_INSTALLATION_KEYS."""
        return not self._given.installation_keys

    def renewed(self, keys: Sequence[InstallationKey]) -> list[StackProgram]:
        """Every program as it is to be under these installation keys, not started. From now on `settings` are those
        under these keys, too."""
        self._keys = tuple(keys)
        self.settings = self._settings()
        return [*self._programs(), *self._nodes(), *self._cpu_workers()]

    @property
    def api_metrics_url(self) -> str:
        """Where the API's numbers are: not on the port that its callers reach."""
        return f"http://{HOST}:{self.ports[_API_METRICS]}/metrics"

    def _programs(self) -> list[StackProgram]:
        return [
            self._program("scheduler", "streams.scheduler", Role.SCHEDULER, checks=True),
            self._program(
                "api",
                "api",
                Role.API,
                signer=signers.API,
                ready_url=f"{self.settings.api_url}/readyz",
                port=self.ports["api"],
            ),
            self._program("projector", "streams.projector", Role.PROJECTOR),
            self._program("intake", "streams.intake", Role.INTAKE, signer=signers.INTAKE),
            self._program("relay", "registry.relay", Role.RELAY, signer=signers.RELAY),
        ]

    def _nodes(self) -> list[StackProgram]:
        nodes: list[StackProgram] = []
        for number in range(1, self._options.nodes + 1):
            name = f"node-{number}"
            arguments = ["--cluster", self._options.cluster, "--node", name, "--slots", str(self._options.slots)]
            address = f"{HOST}:{ports.first_gang_port(number)}"
            nodes.append(
                self._program(
                    name,
                    "gpu_worker",
                    Role.NODE,
                    arguments=arguments,
                    node_address=address,
                    signer=signers.node_signer(self._options.cluster, name),
                    join_token=partial(installation_key.join_token, self._keys[0], self._options.cluster, name),
                    kafka_role=node_role(self._options.cluster),
                )
            )
        return nodes

    def _cpu_workers(self) -> Iterator[StackProgram]:
        for name, cluster in self._cpu_worker_names().items():
            arguments = ["--cluster", cluster, "--node", name, "--slots", str(_CPU_SLOTS)]
            arguments += ["--partition", str(self._cpu_clusters[cluster])]
            yield self._program(
                name,
                "cpu_worker",
                Role.CPU_WORKER,
                arguments=arguments,
                signer=signers.node_signer(cluster, name),
                join_token=partial(installation_key.join_token, self._keys[0], cluster, name),
                kafka_role=node_role(cluster),
            )

    def _cpu_worker_names(self) -> dict[str, str]:
        """The cluster of each."""
        found: dict[str, str] = {}
        for cluster in sorted(self._cpu_clusters):
            for _ in range(self._options.cpu_workers):
                found[f"cpu-{len(found) + 1}"] = cluster
        return found

    def _program(
        self,
        name: str,
        module: str,
        role: Role,
        *,
        arguments: list[str] | None = None,
        ready_url: str = "",
        port: int = 0,
        node_address: str = "",
        signer: str = "",
        checks: bool = False,
        join_token: Callable[[], str] | None = None,
        kafka_role: str = "",
    ) -> StackProgram:
        """`signer`: as whom the process signs, if it does. `checks`: it checks signatures. `kafka_role`: whose user of
        the broker the process is, if its role has none of the same name."""
        changes: dict[str, object] = {
            **self._secrets(signer, checks),
            **self._store_login(role),
            **kafka_logins.settings_of(self._passwords, kafka_role or role),
            "data": self._layout.processes / name,
            "metrics_port": self.ports[_API_METRICS if port else name],
            "node_address": node_address,
        }
        settings = self.settings.model_copy(update=changes)
        if role in PROCESSES:
            settings = self._as(settings, role)
        return StackProgram(
            name,
            module,
            role,
            settings,
            self._layout.logs,
            arguments=arguments or (),
            ready_url=ready_url,
            port=port or self.ports[name],
            join_token=join_token,
        )

    def _secrets(self, signer: str, checks: bool) -> dict[str, object]:
        """Each process has its own key only; the scheduler, which derives everybody's, has the installation's."""
        if signer:
            return installation_key.settings_of(self._keys[0].of(signer))
        own = ",".join(key.secret.hex() for key in self._keys) if checks else ""
        return {"signer": "", "signing_key": "", "installation_keys": own}

    def _store_login(self, role: Role) -> dict[str, object]:
        """The login of this role at the stack's own S3 server; nothing where the role has none, or the store is the
        user's."""
        login = self.s3.logins.get(role) if self.s3 is not None else None
        return {} if login is None else {"s3_access_key": login.access_key, "s3_secret_key": login.secret_key}

    def _choose_ports(self, memory: Memory) -> dict[str, int]:
        options = self._options
        configured = {"api": options.api_port, "kafka": options.kafka_port, "s3": options.s3_port}
        names = ["kafka", "kafka-controller", "s3", "api", "scheduler", "projector", "intake", "relay", _API_METRICS]
        names += [f"node-{number}" for number in range(1, options.nodes + 1)]
        names += self._cpu_worker_names()
        chosen: dict[str, int] = {}
        for name, port in configured.items():
            if port:
                ports.require_free(name, port)
                chosen[name] = port
        for name in names:
            if name not in chosen:
                chosen[name] = self._port(name, memory.ports.get(name, 0), set(chosen.values()))
        return chosen

    def _port(self, name: str, remembered: int, taken: set[int]) -> int:
        if remembered and remembered not in taken:
            deadline = time.monotonic() + PORT_RELEASE_S
            while not ports.is_free(remembered):
                if time.monotonic() > deadline:
                    self.warnings.append(
                        f"port {remembered}, which {name} had last time, is in use by another process: "
                        f"{name} has a new one"
                    )
                    break
                time.sleep(0.05)
            else:
                return remembered
        if name == "api" and API_PORT_DEFAULT not in taken and ports.is_free(API_PORT_DEFAULT):
            return API_PORT_DEFAULT
        return ports.free_port(not_in=taken)
