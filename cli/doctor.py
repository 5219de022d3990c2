"""What `headrace doctor` examines: the machine, the stack of --data if it runs, and the servers that commands use."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import msgspec
from confluent_kafka import KafkaException

from cli import api_health
from cli.connection import elsewhere, settings
from cli.errors import WrongUse
from contract import signers
from local import disk, stack
from local.data_directory import require_path
from local.errors import CannotStart
from local.java import JAVA_VERSION_MIN, find_java
from local.model_layers import layers_here
from local.options import Layout
from local.s3_server import OWNER, PREFIXES_OF, StoreLogin, login_in
from local.status import PartStatus, StackStatus
from runtime import anonymous_clients, jobs_writer
from runtime.anonymous_clients import Treated
from runtime.kafka import broker_setting
from runtime.media.confined_program import said_of_layers
from runtime.media.decoder_program import DecoderUnusable, find_program, look_at
from runtime.object_store import StoreFault
from runtime.object_store_health import store_of_moment, what_it_supports
from runtime.proxies import LOOPBACK, lets_loopback_through, named_proxies
from runtime.settings import ENV_PREFIX, Settings
from runtime.store_rights import RIGHTS, Right, try_rights
from runtime.worker.canary_flight import LayersFound
from runtime.worker.confinement import LAYERS

API_URL, FFMPEG = f"{ENV_PREFIX}API_URL", f"{ENV_PREFIX}FFMPEG"
TRANSACTION_SETTING = "transaction.max.timeout.ms"
TRANSACTION_MS_MAX = 60_000
TRANSACTION_TODO = (
    f"set {TRANSACTION_SETTING}={TRANSACTION_MS_MAX} in the settings of every broker: a producer that leaves its"
    " transaction open holds up every reader behind the transaction for so long"
)


LAYERS_TODO = (
    "run nodes as root with the right to mount, or as a user who may make user namespaces, on Linux 6.12 or newer with"
    " Landlock; else publish no models of strangers here (`trusted_models` of the policy)"
)


class DoctorFinding(msgspec.Struct, frozen=True):
    what: str
    good: bool
    found: str
    todo: str = ""
    suspect: bool = False
    """It works, and deserves a look. Never beside `good` False."""


def examine(data: Path) -> list[DoctorFinding]:
    """Every finding, good or bad."""
    status = stack.status(data)
    return [*_machine(data, status), *_stack(data, status), *_installation(data, status)]


def _machine(data: Path, status: StackStatus) -> list[DoctorFinding]:
    version, layers = ".".join(map(str, sys.version_info[:3])), _tried(data)
    cores = os.cpu_count() or 1
    return [
        DoctorFinding("Python 3.11 or newer", sys.version_info >= (3, 11), version),
        _java(),
        _make(),
        DoctorFinding("two cores", cores >= 2, str(cores), "" if cores >= 2 else "it runs, slowly"),
        _able("the path of the data directory", f"{data.absolute()}", lambda: require_path(data)),
        _space(data, status),
        *_proxies(os.environ),
        *_layers(layers),
        *_decoder(os.environ.get(FFMPEG, ""), layers),
    ]


def _tried(data: Path) -> LayersFound | str:
    """What keeps children off their node here, by trying; a string says why that was not found out."""
    try:
        return layers_here(data.absolute())
    except OSError as error:
        return f"not found out ({error})"


def _layers(layers: LayersFound | str) -> list[DoctorFinding]:
    """What keeps a model off its node here, layer by layer."""
    if isinstance(layers, str):
        return [DoctorFinding("models held off", True, layers, suspect=True)]
    form, findings = layers.confinement.form, []
    for layer in LAYERS:
        could = layers.broken.get(layer, ())
        found = f"a model here can {', '.join(could)}" if could else f"held ({form})"
        todo = LAYERS_TODO if could else ""
        findings.append(DoctorFinding(f"models held off: {layer}", True, found, todo, suspect=bool(could)))
    return findings


def _decoder(named: str, layers: LayersFound | str) -> list[DoctorFinding]:
    """Which program decodes and encodes media here, whether it is new enough, and what it is held off by. `named`: as
    the setting names it."""
    what = "FFmpeg for media"
    try:
        program = look_at(find_program(named))
    except DecoderUnusable as error:
        return [DoctorFinding(what, False, str(error), "without it no media are prepared, and no videos encoded")]
    if program.fault:
        return [DoctorFinding(what, False, program.said, f"{program.fault}: set {FFMPEG}, or unset it")]
    todo = "a newer one was there when Headrace was made: this one may lack fixes" if program.is_old else ""
    used = DoctorFinding(what, True, program.said, todo, suspect=program.is_old)
    if isinstance(layers, str):
        return [used, DoctorFinding(f"{what}: held off", True, layers, suspect=True)]
    todo = LAYERS_TODO if layers.broken else ""
    held = said_of_layers(layers.confinement.form)
    return [used, DoctorFinding(f"{what}: held off", True, held, todo, suspect=bool(layers.broken))]


def _proxies(environment: Mapping[str, str]) -> list[DoctorFinding]:
    """What our clients and others make of the proxies that the environment names; nothing where it names none."""
    named = named_proxies(environment)
    if not named:
        return []
    what, variables = "proxies", ", ".join(proxy.variable for proxy in named.values())
    faults = [proxy.fault for proxy in named.values() if proxy.fault]
    if faults:
        return [DoctorFinding(what, False, variables, f"{faults[0]}; Headrace uses no such proxy")]
    if lets_loopback_through(environment):
        wanted = ",".join(LOOPBACK)
        todo = f"Headrace asks no proxy for this machine; for curl and others set NO_PROXY={wanted} (and no_proxy)"
        return [DoctorFinding(what, True, variables, todo, suspect=True)]
    return [DoctorFinding(what, True, variables)]


def _able(what: str, found: str, require: Callable[[], None]) -> DoctorFinding:
    """A finding that is good unless `require` raises CannotStart."""
    try:
        require()
    except CannotStart as missing:
        return DoctorFinding(what, False, missing.found, f"expected {missing.expected}: {missing.todo}")
    return DoctorFinding(what, True, found)


def _space(data: Path, status: StackStatus) -> DoctorFinding:
    """A stack that runs needs less free space than one that starts."""
    found = f"{shutil.disk_usage(disk.existing(data)).free:,} bytes free"
    if not status.running:
        return _able("space on disk", found, lambda: disk.require_space(data))
    low = disk.warning(data)
    return DoctorFinding("space on disk", not low, found, low)


def _make() -> DoctorFinding:
    found = shutil.which("make")
    return DoctorFinding("make", found is not None, found or "none", "" if found else "apt-get install make")


def _java() -> DoctorFinding:
    what = f"Java {JAVA_VERSION_MIN} or newer"
    try:
        return DoctorFinding(what, True, find_java())
    except CannotStart as missing:
        return DoctorFinding(what, False, missing.found, missing.todo)


def _stack(data: Path, status: StackStatus) -> list[DoctorFinding]:
    if not status.running:
        return [DoctorFinding("a stack", True, f"none runs on {data.absolute()}", "start one with `headrace up`")]
    return [*map(_part, status.parts), *(DoctorFinding("warning", False, warning) for warning in status.warnings)]


def _part(part: PartStatus) -> DoctorFinding:
    """A part that runs again after a crash is suspect until it is steady; after that, its crash is counted only."""
    crashes = f"{part.restarts} crash{'' if part.restarts == 1 else 'es'}"
    ready = part.state == "ready"
    suspect = ready and not part.steady
    advice = f"{part.note}; its log is {part.log}" if part.note and (suspect or not ready) else ""
    return DoctorFinding(part.name, ready, f"{part.state}, {crashes}", advice, suspect=suspect)


def _installation(data: Path, status: StackStatus) -> list[DoctorFinding]:
    """What commands meet in the installation that they talk to; nothing without one."""
    try:
        here = settings(data)
    except WrongUse:
        return []
    signing = _signing(here)
    if not (elsewhere() or status.running):
        return signing
    logins = [] if elsewhere() else _embedded_logins(here, Layout(data).s3)
    return [*signing, _names(here), *_broker(here), *_store(here), *logins, *_api(here, status.running)]


def _store(here: Settings) -> list[DoctorFinding]:
    """What the object store of the installation can do, by trying."""
    found = [DoctorFinding(*found) for found in what_it_supports(here)]
    return found + [finding for role in RIGHTS if (login := _login_of(role, here)) for finding in _rights(login, role)]


def _embedded_logins(here: Settings, s3: Path) -> list[DoctorFinding]:
    """Whether the embedded store keeps each process to the prefixes of its role; nothing where the store is another."""
    if here.s3_access_key != OWNER:
        return []
    logins = {role: login_in(s3, role) for role in PREFIXES_OF}
    return [_kept_to_its_prefixes(here, role, login) for role, login in logins.items() if login is not None]


def _kept_to_its_prefixes(here: Settings, role: str, login: StoreLogin) -> DoctorFinding:
    what, own = f"object store: the login of {role}", PREFIXES_OF[role]
    keys = {"s3_access_key": login.access_key, "s3_secret_key": login.secret_key}
    try:
        found = try_rights(store_of_moment(here.model_copy(update=keys)), role)
    except StoreFault as fault:
        return DoctorFinding(what, False, str(fault), "see `headrace status`")
    beyond = [f"{one.prefix}: may {one.right}" for one in found if one.found and one.right is not Right.LIST]
    beyond = [said for said in beyond if not said.startswith(own)]
    lacks = [f"{one.prefix}: may not {one.right}" for one in found if one.expected and not one.found]
    if beyond or lacks:
        return DoctorFinding(what, False, ", ".join(beyond + lacks), "start the stack again; else report it")
    said = f"reaches {', '.join(own)} alone; there it may do everything, and it may list all names (S3Proxy)"
    return DoctorFinding(what, True, said)


def _login_of(role: str, here: Settings) -> Settings | None:
    """The settings with the login that the environment has for this role, named as in compose: S3_NODE_ACCESS_KEY."""
    access, secret = (os.environ.get(f"S3_{role.upper()}_{what}_KEY", "") for what in ("ACCESS", "SECRET"))
    return here.model_copy(update={"s3_access_key": access, "s3_secret_key": secret}) if access and secret else None


def _rights(login: Settings, role: str) -> list[DoctorFinding]:
    """Whether this login may do in the store what its role needs, and nothing else."""
    what = f"object store: the login of {role}"
    try:
        wrong = [found for found in try_rights(store_of_moment(login), role) if not found.good]
    except StoreFault as fault:
        return [DoctorFinding(what, False, str(fault), "see HEADRACE_S3_ENDPOINT and `headrace status`")]
    if not wrong:
        return [DoctorFinding(what, True, "does what its role needs, and nothing else")]
    said = ", ".join(f"{found.prefix}: {'may' if found.found else 'may not'} {found.right}" for found in wrong)
    return [DoctorFinding(what, False, said, f"give it the policy that `headrace store policies {role}` prints")]


def _api(here: Settings, running: bool) -> list[DoctorFinding]:
    """Which part of the API does not do its work; none where no API is named."""
    if not (API_URL in os.environ if elsewhere() else running):
        return []
    url = here.api_url
    try:
        failing = api_health.api_health(url).failing
    except httpx.HTTPError:
        return [DoctorFinding("the API", False, f"no answer from {url}", f"see `headrace status`, or set {API_URL}")]
    return [DoctorFinding(f"the API: {part.replace('_', ' ')}", False, wrong) for part, wrong in failing.items()] or [
        DoctorFinding("the API", True, "each part that it needs does its work")
    ]


def _signing(here: Settings) -> list[DoctorFinding]:
    """As whom commands sign what they write to `jobs`."""
    what = "commands sign what they tell schedulers"
    try:
        key = jobs_writer.key_of(here, signers.OPERATOR)
    except jobs_writer.WrongSigner as wrong:
        return [DoctorFinding(what, False, here.signer, str(wrong))]
    if key is not None:
        return [DoctorFinding(what, True, f"as {key.signer}")]
    todo = "set what `headrace keys derive operator.NAME` prints: schedulers with keys refuse unsigned records"
    return [DoctorFinding(what, not elsewhere(), "they sign nothing", todo)]


def _names(here: Settings) -> DoctorFinding:
    """Whether Kafka lets clients in that have no name."""
    what, answers = "Kafka asks every client for its name", anonymous_clients.ask(here.brokers)
    if found := anonymous_clients.found_in(answers):
        return DoctorFinding(
            what, here.kafka_development, found, anonymous_clients.REMEDY, suspect=here.kafka_development
        )
    away = [answer.address for answer in answers if answer.treated is Treated.AWAY]
    if away:
        found = f"not found out: {', '.join(away)} did not answer"
        return DoctorFinding(what, True, found, "see `headrace status`, or set HEADRACE_KAFKA", suspect=True)
    return DoctorFinding(what, True, "one without a name is turned away")


def _broker(here: Settings) -> list[DoctorFinding]:
    """Findings about the broker of the installation that commands talk to."""
    what = f"transactions end within {TRANSACTION_MS_MAX // 1000} s"
    try:
        found = broker_setting(here.brokers, TRANSACTION_SETTING)
    except KafkaException as error:
        return [DoctorFinding(what, False, f"Kafka does not answer ({error.args[0].str()})", "see `headrace status`")]
    said = ", ".join(f"broker {broker}: {value or 'unknown'}" for broker, value in found.items())
    good = all(value.isdecimal() and int(value) <= TRANSACTION_MS_MAX for value in found.values())
    return [DoctorFinding(what, good, f"{TRANSACTION_SETTING} {said}", "" if good else TRANSACTION_TODO)]
