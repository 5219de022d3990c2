from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.errors import RegistryError
from registry.manifest import decode_manifest, digest_of, encode_manifest
from registry.model_directory import read_model_directory
from tests.unit.registry.samples import MODEL_YAML, PYTHON, safetensors, write_model


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def refusal(directory: Path) -> str:
    with pytest.raises(RegistryError) as caught:
        read_model_directory(directory)
    assert caught.value.code == "invalid"
    return str(caught.value)


def test_a_good_directory_gives_a_manifest(directory: Path) -> None:
    (directory / "parts").mkdir()
    (directory / "parts" / "one.py").write_text("A = 1\n")
    (directory / "README.md").write_text("about\n")
    read = read_model_directory(directory)
    manifest = read.manifest
    assert [file.path for file in manifest.code] == ["model.py", "parts/one.py"]
    assert [file.path for file in manifest.weights] == ["echo.safetensors"]
    assert manifest.timeout_ms == 30_000
    assert manifest.requirements.chipsets == ("cpu",)
    assert manifest.environment.abi == "cp" + PYTHON.replace(".", "")
    assert read.ignored == ("README.md",)
    assert [path.read_bytes() for _, path in read.sources()][2] == (
        directory / "weights" / "echo.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t + "colour: red\n", "model.yaml line 16: unknown field 'colour'"),
        (lambda t: t.replace("timeout_s: 30\n", ""), "expected a field 'timeout_s', found none"),
        (lambda t: t.replace("timeout_s: 30", "timeout_s: 0"), "line 7: timeout_s: expected a whole number from 1"),
        (lambda t: t.replace("timeout_s: 30", "timeout_s: true"), "line 7: timeout_s: expected a whole number"),
        (lambda t: t.replace("name: echo", "name: Echo Model"), "line 1: name: expected lower case"),
        (lambda t: t.replace("model:Echo", "model.py"), "line 2: entry_point: expected 'module:Class'"),
        (lambda t: t.replace("[cpu]", "[]"), "line 3: chipsets: expected a list of names"),
        (lambda t: t.replace("gpus: 0", "gpus: 2"), "line 4: expected 0 gpus"),
        (lambda t: t.replace("ranks: 1", "ranks: 0"), "line 5: ranks: expected a whole number from 1 to 64, found 0"),
        (lambda t: t.replace("ranks: 1", "ranks: 65"), "line 5: ranks: expected a whole number from 1 to 64, found 65"),
        (lambda t: t.replace(f'"{PYTHON}"', PYTHON), "line 8: python: expected a version in quotes"),
        (
            lambda t: t.replace("type: string", "type: strong"),
            "line 13: inputs/properties/prompt/type: expected one of",
        ),
        (lambda t: t.replace("type: string", "$ref: https://example.org/x"), "references inside the schema"),
        (
            lambda t: t.replace("type: string", '$ref: "#Nowhere"'),
            "line 13: inputs/properties/prompt/$ref: expected a reference to a schema of this document, found '#No",
        ),
        (
            lambda t: t.replace("type: object\n", 'allOf: [{$ref: "#/components/schemas/s"}]\n'),
            "line 10: inputs/allOf/0/$ref: expected a reference to a schema of this document",
        ),
        (
            lambda t: t + '  $defs: {a: {$ref: "#/$defs/a"}}\n',
            "line 16: outputs/$defs/a: expected references that end, found a circle",
        ),
        (
            lambda t: t + "  properties:\n    a: {$id: x}\n",
            "line 17: outputs/properties/a/$id: expected a schema without",
        ),
        (
            lambda t: t + "  pattern: (?=a)\n",
            "line 16: outputs/pattern: expected a pattern that can be matched in linear",
        ),
        (
            lambda t: t + '  title: "\\ud83d"\n',
            "line 16: expected text of whole characters, found half a surrogate pair",
        ),
        (lambda t: t + '  title: "\\0"\n', "line 16: expected text without the character NUL"),
        (lambda t: t + "  maximum: 18446744073709551616\n", "line 16: expected whole numbers from"),
        (lambda t: t + "  maximum: " + "9" * 5_000 + "\n", "line 16: expected a value JSON has"),
        (lambda t: t + '  "\\0": 1\n', "line 16: expected text without the character NUL"),
        (lambda t: t + "name: again\n", "line 16: name is given on line 1 already"),
        (lambda t: t + "  - [\n", "line 16: expected YAML; "),
        (lambda t: "\t" + t, "line 1: expected YAML; found character '\\t' that cannot start any token"),
        (lambda t: t + "\0", "line 1: expected YAML; found a character that can't stand in it"),
        (lambda t: t.replace("maxLength: 100", "maxLength: .nan"), "expected a value JSON has"),
        (lambda t: "- a\n", "line 1: expected fields"),
        (lambda t: t.replace("model:Echo", "other:Echo"), "expects other.py, found model.py"),
        (lambda t: t.replace("model:Echo", "model:Ecco"), "expects a class 'Ecco', found Echo"),
    ],
)
def test_a_fault_in_model_yaml_is_told_with_its_line(directory: Path, change: Callable[[str], str], words: str) -> None:
    (directory / "model.yaml").write_text(change(MODEL_YAML))
    assert words in refusal(directory)


def test_a_version_that_asks_for_the_network_says_so_and_others_keep_their_digest(directory: Path) -> None:
    before = read_model_directory(directory).manifest
    assert b"network" not in encode_manifest(before)
    for said in ("true", "false"):
        (directory / "model.yaml").write_text(f"network: {said}\n{MODEL_YAML}")
        found = read_model_directory(directory).manifest
        assert (found == before) == (said == "false")
        assert decode_manifest(encode_manifest(found), digest_of(found)) == found
    (directory / "model.yaml").write_text("network: 1\n" + MODEL_YAML)
    with pytest.raises(RegistryError, match="line 1: network: expected true or false, found 1"):
        read_model_directory(directory)


def test_ranks_are_asked_of_the_scheduler(directory: Path) -> None:
    (directory / "model.yaml").write_text(MODEL_YAML.replace("ranks: 1", "ranks: 64"))
    manifest = read_model_directory(directory).manifest
    assert (manifest.ranks, manifest.requirements.ranks) == (64, 64)


def test_yaml_that_unfolds_without_end_is_refused(directory: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    indented = "".join("  " + line + "\n" for line in bomb.splitlines())
    (directory / "model.yaml").write_text(MODEL_YAML.replace("outputs:\n", "outputs:\n" + indented))
    assert "found more" in refusal(directory)


@pytest.mark.parametrize("name", ["model.yaml", "environment.lock"])
def test_a_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    assert f"{name}: expected this file" in refusal(directory)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert "expected a model directory" in refusal(tmp_path / "nowhere")


def torch_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("weights/model.pt", b"anything"),
        ("weights/model.bin", b"anything"),
        ("checkpoint.CKPT", b"anything"),
        ("vocabulary.pkl", b"anything"),
        ("vocabulary.dat", pickle.dumps({"a": 1})),
        ("vocabulary.dat", torch_archive()),
        ("weights/model.safetensors", pickle.dumps({"a": 1})),
        ("weights/model.safetensors", torch_archive()),
    ],
)
def test_a_pickle_is_refused_whatever_its_name(directory: Path, name: str, content: bytes) -> None:
    (directory / name).write_bytes(content)
    message = refusal(directory)
    assert name in message
    assert "pickle" in message


def header(text: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"abc", "3 bytes"),
        (struct.pack("<Q", 1 << 40) + b"{}", "header length"),
        (header(b"not json"), "not the JSON of a tensor list"),
        (header(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', b"1234"), "do not match its shape"),
        (header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"12"), "2 bytes of data"),
        (header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"1234extra"), "9 bytes of data"),
        (header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', b"12345678"), "expected 0"),
        (header(b'{"a":{"dtype":"OBJ","shape":[1],"data_offsets":[0,4]}}', b"1234"), "unknown dtype"),
        (safetensors([1.0, 2.0])[:-1], "7 bytes of data"),
    ],
)
def test_damaged_safetensors_are_refused(directory: Path, content: bytes, words: str) -> None:
    (directory / "weights" / "bad.safetensors").write_bytes(content)
    message = refusal(directory)
    assert "weights/bad.safetensors: expected a safetensors file" in message
    assert words in message


def test_what_the_formats_own_library_writes_is_let_in(directory: Path) -> None:
    numpy = pytest.importorskip("numpy")
    from safetensors.numpy import save_file

    for length in range(1, 40):  # header lengths of many first bytes, 0x80 among them
        tensors = {"t" * (length * 8): numpy.zeros((3, 2), "float32"), "empty": numpy.zeros((0,), "int64")}
        save_file(tensors, directory / "weights" / "numpy.safetensors", metadata={"format": "np"})
        assert len(read_model_directory(directory).manifest.weights) == 2


def test_another_file_among_the_weights_is_refused(directory: Path) -> None:
    (directory / "weights" / "notes.txt").write_text("x")
    assert "expected only *.safetensors in weights/" in refusal(directory)


def test_a_link_out_of_the_directory_is_refused(directory: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.py"
    outside.write_text("A = 1\n")
    (directory / "stolen.py").symlink_to(outside)
    assert "stolen.py: expected a file of the directory, found a link that leads out" in refusal(directory)


def test_a_linked_folder_is_refused_and_a_link_inside_is_read(directory: Path) -> None:
    (directory / "again.py").symlink_to("model.py")
    assert [file.path for file in read_model_directory(directory).manifest.code] == ["again.py", "model.py"]
    (directory / "loop").symlink_to(".", target_is_directory=True)
    assert "loop: expected a folder, found a link to one" in refusal(directory)


def test_a_pipe_is_refused_and_not_waited_for(directory: Path) -> None:
    os.mkfifo(directory / "pipe.py")
    assert "pipe.py: expected a regular file" in refusal(directory)


def test_code_that_is_no_python_is_refused_with_its_line(directory: Path) -> None:
    (directory / "model.py").write_text("class Echo:\n    pass\nif\n")
    assert f"model.py line 3: expected Python {PYTHON}" in refusal(directory)


def test_no_code_is_run(directory: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (directory / "model.py").write_text(f"open({str(mark)!r}, 'w')\nclass Echo:\n    pass\n")
    read_model_directory(directory)
    assert not mark.exists()
