"""Doors of the files that people write: model directories, locks, policies, traces, exports, settings, inputs."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from pydantic import ValidationError

from contract.codec import decode_input, decode_values, encode
from contract.inputs import PolicyApplied, VersionPublished
from contract.policy import fingerprint
from contract.policy_document import PolicyInvalid, parse
from contract.topics import topics_for
from registry.environment_lock import environment, environment_digest, parse_lock, write_lock
from registry.errors import RegistryError
from registry.manifest import decode_manifest, digest_of, encode_manifest
from registry.model_directory import read_model_directory
from registry.model_yaml import parse_model_yaml
from registry.pylock import parse_pylock
from registry.safetensors_header import check_safetensors
from registry.schemas import Validator
from runtime.settings import Settings
from tests.fuzz.door import Door
from tests.fuzz.mutations import changed, mostly_good, written
from tests.unit.registry.samples import MODEL_PY, MODEL_YAML, safetensors, write_model
from tests.unit.scheduling.specification import Pool
from whatif import traces

YAML_PIECES = (
    *(
        "&a ",
        "*a",
        "<<: *a",
        "&a [*a, *a]",
        "!!python/object:os.system ",
        "!!bool maybe",
        "!!int ''",
        "!!int +",
        "!!float ''",
    ),
    *(
        "!!float .",
        "!!int 0x",
        "!!int 1:x",
        "!!binary é",
        "!!timestamp x",
        "!!set {a}",
        "!!omap [a]",
        "!!null x",
        "!x y",
    ),
    *(
        "? [a]\n: b",
        "{a: b}",
        "[a]",
        "- a",
        "'",
        '"',
        "|",
        ">",
        "%YAML 9.9\n",
        "---\n",
        "...\n",
        "\t",
        "\u0085",
        "\ufeff",
    ),
    *(
        "1_000",
        "0o7",
        "1:30:00",
        ".inf",
        ".nan",
        "-0",
        "1e999",
        "9" * 5_000,
        "2001-01-01",
        "yes",
        "~",
        "null",
        "",
        "-1",
    ),
    *(
        "[" * 300,
        "{a: " * 300,
        "a" * 70_000,
        '"\\ud83d"',
        '"\\0"',
        '"a\\x00b"',
        "\U0001f600",
        "é" * 501,
        "#",
        ": ",
        "=",
        "@",
    ),
)


def text_changed(chance: Random, good: str, pieces: tuple[str, ...]) -> bytes:
    """The text as it is, 45 % of the time; else with words replaced, lines dropped, put twice or elsewhere, or bytes
    broken."""
    if chance.random() < 0.45:
        return good.encode()
    lines = good.split("\n")
    for _ in range(chance.choice((1, 1, 1, 2))):
        at = chance.randrange(len(lines))
        match chance.randrange(7):
            case 0:
                del lines[at]
                lines = lines or [""]
            case 1:
                lines.insert(chance.randrange(len(lines) + 1), lines[at])
            case 2:
                return changed(chance, "\n".join(lines).encode())
            case 3 | 4 if ":" in lines[at] or "=" in lines[at]:
                sign = ":" if ":" in lines[at] else "="
                name, _, _ = lines[at].partition(sign)
                lines[at] = f"{name}{sign} {chance.choice(pieces)}"
            case _:
                words = lines[at].split(" ")
                words[chance.randrange(len(words))] = chance.choice(pieces)
                lines[at] = " ".join(words)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@contextmanager
def a_file(raw: bytes, name: str = "file") -> Any:
    with tempfile.TemporaryDirectory(prefix="headrace-door-") as folder:
        path = Path(folder) / name
        path.write_bytes(raw)
        yield path


# -- model directories -------------------------------------------------------------------------------------------------

LARGER_YAML = (
    MODEL_YAML
    + """\
  properties:
    frames: {type: array, maxItems: 4, items: {type: integer, minimum: 0}}
    name: {type: string, pattern: "^[a-z]+$"}
chipsets: [cuda, cpu]
memory_mib: 4096
"""
)


def model_yaml(chance: Random) -> bytes:
    lines = chance.choice((MODEL_YAML, LARGER_YAML)).split("\n")
    seen: set[str] = set()
    kept = []
    for line in lines:
        name = line.partition(":")[0]
        if line.startswith(" ") or name not in seen:
            kept.append(line)
        seen.add(name)
    return text_changed(chance, "\n".join(kept), YAML_PIECES)


def feed_model_yaml(raw: bytes) -> bool:
    """What publish takes, the depot, the scheduler and the checkers of inputs and outputs take."""
    with tempfile.TemporaryDirectory(prefix="headrace-door-") as folder:
        root = write_model(Path(folder) / "m")
        (root / "model.yaml").write_bytes(raw)
        said = parse_model_yaml(raw)
        try:
            manifest = read_model_directory(root).manifest
        except RegistryError:
            assert said.entry_point != "model:Echo", "only the directory can be at fault"
            return True
    raw_manifest = encode_manifest(manifest)
    again = decode_manifest(raw_manifest, digest_of(manifest))
    assert again == manifest
    for schema in (manifest.inputs, manifest.outputs):
        Validator(decode_values(msgspec.json.encode(schema), "a schema")).fault({"prompt": "x"})
    published = VersionPublished(manifest.name, digest_of(manifest), manifest.requirements, manifest.timeout_ms)
    pool = Pool(check=False)
    pool.tell(decode_input(encode(published)))  # type: ignore[arg-type]
    return True


CODE_PIECES = (
    *(
        "class Echo:",
        "from os import *",
        "x = 1",
        "def f(:",
        "\x00",
        "\ufeff",
        "# -*- coding: latin-9 -*-",
        "if",
        "\\",
        '"""',
    ),
    *(
        "(" * 500,
        "x" + ".a" * 9_000,
        "-" * 9_000 + "1",
        "1" + "+1" * 9_000,
        "9" * 5_000,
        "'\\N{x}'",
        "'\\d'",
        "async",
        "é = 1",
    ),
)


def feed_code(raw: bytes) -> bool:
    with tempfile.TemporaryDirectory(prefix="headrace-door-") as folder:
        root = write_model(Path(folder) / "m")
        (root / "model.py").write_bytes(raw)
        assert read_model_directory(root).manifest.code
    return True


LOCK = """\
# made by uv
numpy==1.26.4 ; python_version >= "3.9" \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
torch[cuda]==2.1.0+cu121 --hash=sha256:{a}
typing-extensions==4.9.0 \\
    --hash=sha256:{b} # via torch
""".format(a="a" * 64, b="b" * 64)
LOCK_PIECES = (
    *(
        "--hash=sha256:" + "A" * 64,
        "--hash=md5:aa",
        "--index-url=http://x",
        "-e .",
        "-r other",
        "numpy",
        "==",
        "==1.*",
        ">=1",
    ),
    *(
        "@ file:///etc",
        "./x.whl",
        ";",
        "; extra == 'x'",
        "; " + "(" * 300,
        "; python_version >=",
        "#",
        "\\",
        "\x0c",
        "\x1c",
    ),
    *("\u2028", "a" * 70_000, "[" * 300, "[a,b]", "é==1", "1!2.0", "==" + "9" * 5_000, "==1.0+é", "\0", "===1"),
)


def feed_lock(raw: bytes) -> bool:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise RegistryError("invalid", "environment.lock: expected UTF-8 text, found other bytes") from None
    wheels = parse_lock(text)
    assert parse_lock(write_lock(wheels)) == wheels, "the node reads what publish understood"
    assert environment_digest(environment("3.11", "any", wheels))
    return True


PYLOCK = """\
lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.11"
[[packages]]
name = "numpy"
version = "1.26.4"
marker = "python_version >= '3.9'"
wheels = [{{ url = "https://x.invalid/numpy-1.26.4-cp311-cp311-any.whl", hashes = {{ sha256 = "{a}" }} }}]
[[packages]]
name = "torch"
version = "2.1.0+cu121"
wheels = [{{ name = "torch-2.1.0+cu121-py3-none-any.whl", url = "https://x.invalid/torch-2.1.0+cu121-py3-none-any.whl", hashes = {{ sha256 = "{b}" }} }}]
""".format(a="a" * 64, b="b" * 64)  # noqa: E501
PYLOCK_PIECES = (
    *(
        '""',
        "1",
        "[]",
        "{}",
        "true",
        '"1.0.0.0"',
        '"9.9"',
        "1979-05-27",
        "nan",
        "[[packages]]",
        "[packages]",
        '"\\ud83d"',
        '"a"',
    ),
    *(
        "[" * 300,
        "{a=" * 300,
        '"' + "x" * 70_000 + '"',
        "9" * 5_000,
        '"é"',
        "\"os_name == 'x'\"",
        '"\\u0000"',
        "{ sha256 = 1 }",
    ),
)


def feed_pylock(raw: bytes) -> bool:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise RegistryError("invalid", "pylock.toml: expected UTF-8 text, found other bytes") from None
    wheels = parse_pylock(text)
    assert parse_lock(write_lock(wheels)) == wheels, "the node reads what publish understood"
    return True


def weights(chance: Random) -> bytes:
    good = safetensors([1.0, 2.0])
    length = int.from_bytes(good[:8], "little")
    if chance.random() < 0.5:
        return good
    header = mostly_good(chance, good[8 : 8 + length].rstrip())
    if chance.random() < 0.2:
        header = written({"w": {"dtype": "F32", "shape": [2**62] * chance.choice((3, 60_000)), "data_offsets": [0, 8]}})
    said = chance.choice((len(header), len(header), length, 2**40))
    return said.to_bytes(8, "little") + header + good[8 + length :]


def feed_weights(raw: bytes) -> bool:
    with a_file(raw, "w.safetensors") as path:
        check_safetensors(path, "weights/w.safetensors")
    return True


# -- policies ----------------------------------------------------------------------------------------------------------

POLICY = """\
tiers:
  api: {slo: 10s}
  free: {slo: 100s}
pools:
  main: {partition: 0}
clusters:
  east: {pool: main, limit: none, staged_per_slot: 1}
  west:
    pool: main
    limit: 4
    adaptive: true
failures_max: 3
backoff: 2s
payload_max: 256KiB
tenant_weights:
  acme: 10
discipline: promise
submission_age_max: 3d
"""
POLICY_PIECES = (
    *YAML_PIECES,
    "0s",
    "1h30m",
    "9" * 30 + "d",
    "3650d",
    "1.5h",
    "0KiB",
    "2MiB",
    "none",
    "strict",
    "luck",
    "true",
)


def feed_policy(raw: bytes) -> bool:
    """What an operator may apply, the scheduler's door, its judgement, the topics and the snapshot take."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise PolicyInvalid("expected a YAML document in UTF-8, found other bytes") from None
    policy = parse(text)
    applied = PolicyApplied(policy, fingerprint(policy))
    said: Any = decode_input(encode(applied))
    pool = Pool(policy=None)
    events = pool.tell(said)
    assert type(events[0]).__name__ == "PolicyAdopted", events
    for topic in topics_for(policy):
        assert topic.partitions > 0
        assert all(isinstance(setting, str) for setting in topic.config.values())
    return True


# -- traces ------------------------------------------------------------------------------------------------------------

TRACES = (
    "arrival,tier,tenant,model,service_seconds\n0,free,acme,small,1.5\n0.5,api,zeta,large,20\n12,free,acme,small,3\n",
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04,3180,8\n",
    "timestamp_ms,input_length,output_length,hash_ids\n0,6758,500,[]\n3000,7322,490,[1]\n",
    '{"timestamp": 0, "input_length": 2701, "output_length": 292}\n'
    '{"timestamp": 3000, "input_length": 1533, "output_length": 131}\n',
)
TRACE_PIECES = (
    *(
        "0",
        "-1",
        "1e9",
        "1e999",
        "9" * 5_000,
        "nan",
        "",
        '"',
        '""',
        "a,b",
        ",",
        "\0",
        "\r",
        "2023-99-99",
        "9999-12-31T23:59:59",
    ),
    *("é", "x" * 200_000, "0001-01-01", "2023-11-16T18:17:03+23:59", "1.5e300", "٣", "10:00"),
)


def trace(chance: Random) -> bytes:
    return text_changed(chance, chance.choice(TRACES).replace(",", ", "), TRACE_PIECES)


def feed_trace(raw: bytes) -> bool:
    with a_file(raw, "trace.csv") as path:
        made = traces.read(path)
        again = path.with_name("again.csv")
        with again.open("w", newline="") as file:
            traces.write(made, file)
        read = traces.read(again)
    assert len(read) == len(made)
    assert list(read.service_ms) == list(made.service_ms)
    return True


# -- settings, and the inputs of a command line ------------------------------------------------------------------------

SETTINGS = {
    "HEADRACE_KAFKA": "127.0.0.1:9092",
    "DATABASE_URL": "postgres://u:p@h/db",
    "HEADRACE_API_PORT": "8470",
    "HEADRACE_DATA": "/data with spaces/ü",
    "HEADRACE_NODE_ADDRESS": "n1:29500",
    "HEADRACE_LOG_LEVEL": "INFO",
    "HEADRACE_METRICS_PORT": "0",
}
ODD_SETTINGS = (
    "",
    " ",
    "é",
    "9" * 5_000,
    "-1",
    "x" * 70_000,
    "[::1]:1",
    "h:64537",
    "h:0",
    ":1",
    "h:٣",
    "h:²",
    "1.0",
    "true",
    "\n",
)


def settings(chance: Random) -> dict[str, str]:
    made = {name: value for name, value in SETTINGS.items() if chance.random() < 0.6}
    if chance.random() < 0.5:
        made[chance.choice(tuple(SETTINGS))] = chance.choice(ODD_SETTINGS)
    return made


def feed_settings(given: dict[str, str]) -> bool:
    kept = dict(os.environ)
    try:
        os.environ.update(given)
        read = Settings()
        os.environ.update({name: value for name, value in read.environment().items() if "\0" not in value})
        assert Settings() == read, "a child process reads the same"
    finally:
        os.environ.clear()
        os.environ.update(kept)
    return True


DOORS = (
    Door("model.yaml", model_yaml, feed_model_yaml, ("registry.model_yaml.parse_model_yaml",), (RegistryError,)),
    Door(
        "a model's code",
        lambda chance: text_changed(chance, MODEL_PY, CODE_PIECES),
        feed_code,
        ("registry.model_directory.read_model_directory",),
        (RegistryError,),
    ),
    Door(
        "environment.lock",
        lambda chance: text_changed(chance, LOCK, LOCK_PIECES),
        feed_lock,
        ("registry.environment_lock.parse_lock",),
        (RegistryError,),
    ),
    Door(
        "pylock.toml",
        lambda chance: text_changed(chance, PYLOCK, PYLOCK_PIECES),
        feed_pylock,
        ("registry.pylock.parse_pylock",),
        (RegistryError,),
    ),
    Door("weights", weights, feed_weights, ("registry.safetensors_header.check_safetensors",), (RegistryError,)),
    Door(
        "a policy document",
        lambda chance: text_changed(chance, POLICY, POLICY_PIECES),
        feed_policy,
        ("contract.policy_document.parse",),
        (PolicyInvalid,),
    ),
    Door("a trace", trace, feed_trace, ("whatif.traces.read",), (traces.TraceUnreadable,)),
    Door("settings", settings, feed_settings, ("runtime.settings.Settings",), (ValidationError,), 80_000),
)
