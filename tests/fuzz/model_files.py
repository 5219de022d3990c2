"""Doors of the files of a model directory: model.yaml, code, locks, weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import msgspec

from contract.codec import decode_input, decode_values, encode
from contract.inputs import VersionPublished
from registry.environment_lock import environment, environment_digest, parse_lock, write_lock
from registry.errors import RegistryError
from registry.manifest import decode_manifest, digest_of, encode_manifest
from registry.model_directory import read_model_directory
from registry.model_yaml import parse_model_yaml
from registry.pylock import parse_pylock
from registry.safetensors_header import check_safetensors
from registry.schemas import Validator
from tests.fuzz.door import Door
from tests.fuzz.mutations import mostly_good, written
from tests.fuzz.texts import YAML_PIECES, a_file, text_changed
from tests.unit.registry.samples import MODEL_PY, MODEL_YAML, safetensors, write_model
from tests.unit.scheduling.specification import Pool

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
)
