"""A model directory, read and checked as bytes: nothing in it is imported, unpickled or run.

    model.yaml          what the model is (registry.model_yaml)
    *.py, **/*.py       its code
    weights/*.safetensors
    environment.lock    its wheels by hash (registry.environment_lock); may be empty
    pylock.toml         the same in the standard format (registry.pylock); read where there is no environment.lock

Other files stay where they are and are named to the caller. A pickle is refused wherever it lies, and so is a link that
leads out of the directory.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from pathlib import Path

import msgspec

from registry import pylock
from registry.environment_lock import LOCK_BYTES_MAX, PinnedDistribution, environment, parse_lock
from registry.errors import RegistryError
from registry.manifest import Manifest, VersionFile, is_inside
from registry.model_yaml import FILE, YAML_BYTES_MAX, ModelYaml, parse_model_yaml
from registry.safetensors_header import check_safetensors, pickle_inside

LOCK = "environment.lock"
WEIGHTS = "weights"
CODE_BYTES_MAX = 16 * 1024 * 1024
FILES_MAX = 10_000
PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".dill", ".mar")
"""Suffixes of formats whose usual readers unpickle."""
READ_BYTES = 1024 * 1024


class ModelDirectory(msgspec.Struct, frozen=True):
    """A directory that may be published."""

    path: Path
    manifest: Manifest
    ignored: tuple[str, ...]
    """Files that are not part of the version, relative to the directory."""

    def sources(self) -> tuple[tuple[VersionFile, Path], ...]:
        """Each file of the manifest with its path on disk."""
        code = [(file, self.path / file.path) for file in self.manifest.code]
        weights = [(file, self.path / WEIGHTS / file.path) for file in self.manifest.weights]
        return (*code, *weights)


def read_model_directory(path: Path) -> ModelDirectory:
    """Reads, checks and hashes a model directory. RegistryError(invalid) says file, line, expected and found."""
    if not path.is_dir():
        raise RegistryError("invalid", f"expected a model directory at {path}, found none")
    files = _files(path)
    yaml = parse_model_yaml(_required(path, FILE, YAML_BYTES_MAX))
    lock = pylock.FILE if pylock.FILE in files and LOCK not in files else LOCK
    requirements = _requirements(path, lock)
    code, weights, ignored = [], [], []
    for name in files:
        if name in (FILE, lock):
            continue
        if name.startswith(WEIGHTS + "/"):
            weights.append(_weights(path, name))
        elif name.endswith(".py"):
            code.append(VersionFile(name, *hash_of_file(path / name)))
        else:
            _refuse_pickle(path, name)
            ignored.append(name)
    if sum(file.bytes for file in code) > CODE_BYTES_MAX:
        raise RegistryError("invalid", f"{path}: expected at most {CODE_BYTES_MAX} bytes of code, found more")
    _check_entry_point(path, yaml, [file.path for file in code])
    manifest = Manifest(
        name=yaml.name,
        entry_point=yaml.entry_point,
        code=tuple(code),
        weights=tuple(weights),
        environment=environment(yaml.python, yaml.platform, requirements),
        inputs=yaml.inputs,
        outputs=yaml.outputs,
        chipsets=yaml.chipsets,
        gpus=yaml.gpus,
        ranks=yaml.ranks,
        memory_mib=yaml.memory_mib,
        timeout_ms=yaml.timeout_s * 1000,
        network=True if yaml.network else msgspec.UNSET,
    )
    return ModelDirectory(path, manifest, tuple(ignored))


def _requirements(root: Path, lock: str) -> tuple[PinnedDistribution, ...]:
    try:
        text = _required(root, lock, LOCK_BYTES_MAX).decode()
    except UnicodeDecodeError:
        raise RegistryError("invalid", f"{lock}: expected UTF-8 text, found other bytes") from None
    return parse_lock(text) if lock == LOCK else pylock.parse_pylock(text)


def hash_of_file(path: Path) -> tuple[str, int]:
    """(sha256 in hex, size in bytes)."""
    hasher, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(READ_BYTES):
            hasher.update(chunk)
            size += len(chunk)
    return hasher.hexdigest(), size


def _files(root: Path) -> list[str]:
    """Relative paths of all files, sorted, without hidden files and __pycache__. A link that leads out is refused."""
    top = root.resolve()
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in [*folders, *names]:
            each = Path(folder) / name
            relative = each.relative_to(root).as_posix()
            if name.startswith("."):
                continue
            if each.is_symlink():
                _check_link(top, each, relative)
            if name in folders:
                continue
            if not each.is_file():
                raise RegistryError("invalid", f"{relative}: expected a regular file, found something else; remove it")
            if not is_inside(relative):
                raise RegistryError(
                    "invalid", f"{relative[:200]!r}: expected a printable path of at most 512 characters"
                )
            found.append(relative)
            if len(found) > FILES_MAX:
                raise RegistryError("invalid", f"{root}: expected at most {FILES_MAX} files, found more")
    return sorted(found)


def _check_link(top: Path, link: Path, relative: str) -> None:
    target = link.resolve()
    if not target.is_relative_to(top):
        raise RegistryError(
            "invalid",
            f"{relative}: expected a file of the directory, found a link that leads out of it; copy the file in",
        )
    if target.is_dir():
        raise RegistryError("invalid", f"{relative}: expected a folder, found a link to one; copy the folder")


def _required(root: Path, name: str, most: int) -> bytes:
    path = root / name
    if not path.is_file():
        hint = "create it, empty if the model needs nothing but Python" if name == LOCK else "create it"
        raise RegistryError("invalid", f"{name}: expected this file in {root}, found none; {hint}")
    if path.stat().st_size > most:
        raise RegistryError("invalid", f"{name}: expected at most {most} bytes, found {path.stat().st_size}")
    return path.read_bytes()


def _refuse_pickle(root: Path, name: str) -> None:
    found = f"a {Path(name).suffix} file" if name.lower().endswith(PICKLE_SUFFIXES) else pickle_inside(root / name)
    if found:
        raise RegistryError(
            "invalid",
            f"{name}: found {found}, and loading a pickle runs whatever code is in it;"
            " save the tensors as weights/*.safetensors and remove this file",
        )


def _weights(root: Path, name: str) -> VersionFile:
    if not name.endswith(".safetensors"):
        _refuse_pickle(root, name)
        raise RegistryError(
            "invalid", f"{name}: expected only *.safetensors in {WEIGHTS}/, found another file; move it"
        )
    check_safetensors(root / name, name)
    return VersionFile(name.removeprefix(WEIGHTS + "/"), *hash_of_file(root / name))


def _check_entry_point(root: Path, yaml: ModelYaml, code: list[str]) -> None:
    """Checks that the module exists and that its text binds the class. The module is parsed, never run."""
    module, _, wanted = yaml.entry_point.partition(":")
    stem = module.replace(".", "/")
    file = next((name for name in (f"{stem}.py", f"{stem}/__init__.py") if name in code), None)
    if file is None:
        raise RegistryError(
            "invalid",
            f"{FILE}: entry_point {yaml.entry_point!r} expects {stem}.py, found {', '.join(code[:20]) or 'no code'}",
        )
    if yaml.python != f"{sys.version_info.major}.{sys.version_info.minor}":
        return  # this Python may not know the syntax of the other
    try:
        tree = ast.parse((root / file).read_bytes(), filename=file)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", 1)
        raise RegistryError(
            "invalid", f"{file} line {line}: expected Python {yaml.python}, found a syntax error"
        ) from None
    except (RecursionError, MemoryError):
        raise RegistryError(
            "invalid", f"{file}: expected Python that can be read, found expressions nested too deep"
        ) from None
    bound = _bound(tree)
    if wanted not in bound and "*" not in bound:
        raise RegistryError(
            "invalid",
            f"{file}: entry_point expects a class {wanted!r}, found {', '.join(sorted(bound)[:20]) or 'no names'}",
        )


def _bound(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names
