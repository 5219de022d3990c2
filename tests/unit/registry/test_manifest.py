from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.environment_lock import Environment, PinnedDistribution
from registry.errors import RegistryError
from registry.manifest import Manifest, VersionFile, decode_manifest, digest_of, encode_manifest, is_inside
from registry.model_directory import read_model_directory
from tests.unit.registry.samples import MODEL_YAML, PYTHON, write_model

SAMPLE_DIGEST = "sha256:091ee7394310d2923bc5b0920f94c57c6a3bcdd6bcf14e97c06224224ee96977"
"""Of samples.write_model. If this changes, every published version would get another name: do not change it."""

words = st.text(st.characters(codec="utf-8"), max_size=10)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
paths = st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4}){0,2}", fullmatch=True)
files = st.lists(
    st.builds(VersionFile, paths, st.from_regex(r"[0-9a-f]{64}", fullmatch=True), st.integers(0, 2**40)), max_size=3
).map(tuple)
manifests = st.builds(
    Manifest,
    name=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
    entry_point=st.just("model:Model"),
    code=files,
    weights=files,
    environment=st.builds(
        Environment,
        st.just("3.11"),
        st.just("cp311"),
        st.just("linux_x86_64"),
        st.lists(st.builds(PinnedDistribution, words, words, words, st.just(("a" * 64,))), max_size=2).map(tuple),
    ),
    inputs=st.dictionaries(words, json_values, max_size=3),
    outputs=st.dictionaries(words, json_values, max_size=3),
    chipsets=st.just(("cpu", "cuda")),
    gpus=st.integers(0, 8),
    ranks=st.integers(1, 64),
    memory_mib=st.integers(0, 10**6),
    timeout_ms=st.integers(1, 10**9),
)


@given(manifests)
def test_a_manifest_is_read_back_and_encodes_the_same_again(manifest: Manifest) -> None:
    raw = encode_manifest(manifest)
    back = decode_manifest(raw, digest_of(manifest))
    assert back == manifest
    assert encode_manifest(back) == raw


def test_the_order_of_keys_in_a_schema_does_not_change_the_digest(tmp_path: Path) -> None:
    manifest = read_model_directory(write_model(tmp_path / "model")).manifest
    turned = msgspec.structs.replace(manifest, inputs=dict(reversed(manifest.inputs.items())))
    assert digest_of(turned) == digest_of(manifest)


def test_the_digest_does_not_depend_on_place_or_time(tmp_path: Path) -> None:
    first = write_model(tmp_path / "model", yaml=MODEL_YAML.replace(f'"{PYTHON}"', '"3.11"'))
    shutil.copytree(first, tmp_path / "elsewhere")
    for file in (tmp_path / "elsewhere").rglob("*"):
        file.touch()
    digests = {digest_of(read_model_directory(path).manifest) for path in (first, tmp_path / "elsewhere")}
    assert digests == {SAMPLE_DIGEST}


@pytest.mark.parametrize("part", ["code", "weights", "lock", "yaml"])
def test_any_change_gives_another_digest(tmp_path: Path, part: str) -> None:
    directory = write_model(tmp_path / "model")
    if part == "code":
        (directory / "model.py").write_text((directory / "model.py").read_text() + "\n")
    elif part == "weights":
        path = directory / "weights" / "echo.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    elif part == "lock":
        (directory / "environment.lock").write_text("six==1.17.0 --hash=sha256:" + "a" * 64)
    else:
        path = directory / "model.yaml"
        path.write_text(path.read_text().replace("timeout_s: 30", "timeout_s: 31"))
    assert digest_of(read_model_directory(directory).manifest) != SAMPLE_DIGEST


def test_other_bytes_than_the_digest_names_are_refused(tmp_path: Path) -> None:
    manifest = read_model_directory(write_model(tmp_path / "model")).manifest
    raw = encode_manifest(manifest).replace(b"echo", b"evil", 1)
    with pytest.raises(RegistryError, match="expected the bytes of sha256:") as caught:
        decode_manifest(raw, digest_of(manifest))
    assert caught.value.code == "corrupt"


@pytest.mark.parametrize("path", ["../model.py", "/etc/passwd", "a/../../b", "", "a//b", "./a", "a\\b", "a\nb"])
def test_a_path_that_leads_out_of_a_version_is_refused(tmp_path: Path, path: str) -> None:
    assert not is_inside(path)
    manifest = read_model_directory(write_model(tmp_path / "model")).manifest
    evil = msgspec.structs.replace(manifest, code=(VersionFile(path, "a" * 64, 1),))
    with pytest.raises(RegistryError, match="expected a path inside the version"):
        decode_manifest(encode_manifest(evil), digest_of(evil))
