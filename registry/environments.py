"""Python environments on the disk of a node: one for each environment digest, shared by all versions that have it.

A venv contains its own path, so it is built where it stays, and what the first version imports is compiled then.
Nothing of the environment runs meanwhile. A marker that is written last holds the digest of the whole tree. An
environment without a marker, which a crash left, or that somebody touched, is built anew: versions share it, so a file
that one of them could plant would run as part of all others.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import structlog

from registry.blobs import BlobCache, disk_faults
from registry.environment_lock import Environment, environment_digest, write_lock
from registry.errors import RegistryError
from registry.file_lock import hold
from registry.trees import let_others_read, tree_digest
from registry.uv import run_uv
from registry.wheels import platform_here, vendored
from runtime.object_store import ObjectStore

log = structlog.get_logger(__name__)

COMPLETE = "headrace-complete"
COMPILER = Path(__file__).with_name("import_compiler.py")
COMPILING_S = 300.0
"""What torch imports takes 3 s."""


class Environments:
    """The environments under `root`. Processes and threads may share them: each environment is built once."""

    def __init__(self, root: Path, store: ObjectStore, blobs: BlobCache) -> None:
        self._root = root
        self._store = store
        self._blobs = blobs

    def ensure(self, environment: Environment, code: Path, *, wheels_from_index: bool) -> Path:
        """The Python interpreter of the environment, which is built if it is not here. `code`: of the version that
        needs it. `wheels_from_index`: whether wheels that nobody vendored may come from the cache of uv or the package
        index.

        RegistryError: environment (a hash differs, this machine lacks the wheel or Python), unavailable (disk, uv)."""
        digest = environment_digest(environment)
        place = self._root / digest
        python = place / "bin" / "python"
        if self.is_complete(digest):
            return python
        with disk_faults(self._root), hold(self._root / f"{digest}.lock", f"environment {digest[:12]}"):
            if not self.is_complete(digest):
                shutil.rmtree(place, ignore_errors=True)
                self._build(environment, place, python, wheels_from_index)
                if environment.requirements:
                    _compile(python, place / "lib" / f"python{environment.python}" / "site-packages", code)
                let_others_read(place)
                (place / COMPLETE).write_text(tree_digest(place, COMPLETE))
        return python

    def is_complete(self, digest: str) -> bool:
        """Whether the environment is here whole and untouched. The interpreter that it links to may have been removed
        since."""
        place = self._root / digest
        try:
            seen = (place / COMPLETE).read_bytes()
        except OSError:
            return False
        return (place / "bin" / "python").exists() and seen == tree_digest(place, COMPLETE).encode()

    def _build(self, environment: Environment, place: Path, python: Path, wheels_from_index: bool) -> None:
        if environment.requirements and environment.platform not in (platform_here(), "any"):
            raise RegistryError(
                "environment",
                f"expected a node of platform {environment.platform}, found {platform_here()};"
                " give the version a chipset that only nodes of its platform have",
            )
        run_uv(
            ["venv", "--quiet", "--no-project", "--python", _interpreter(environment.python), str(place)],
            f"making an environment for Python {environment.python}",
        )
        if environment.requirements:
            lock = place / "requirements.lock"
            lock.write_text(write_lock(environment.requirements))
            self._install(environment, place, python, lock, wheels_from_index)

    def _install(
        self, environment: Environment, place: Path, python: Path, lock: Path, wheels_from_index: bool
    ) -> None:
        install = ["pip", "install", "--quiet", "--python", str(python), "--require-hashes", "--only-binary", ":all:"]
        install += ["--requirements", str(lock)]
        doing = "installing the locked wheels"
        wheels = vendored(environment, self._store)
        if wheels is not None:
            folder = place / "wheels"
            folder.mkdir()
            for wheel in wheels:
                (folder / wheel.path).hardlink_to(self._blobs.fetch(wheel))
            run_uv([*install, "--offline", "--no-index", "--find-links", str(folder)], doing + " (vendored)")
            shutil.rmtree(folder)
            return
        if not wheels_from_index:
            raise RegistryError(
                "environment",
                "expected the environment's wheels in the object store, found none, and the policy does not let them"
                " come from an index; publish the version again with vendored wheels",
            )
        try:
            run_uv([*install, "--offline"], doing + " (from the cache)")
        except RegistryError:
            run_uv(install, doing, asks_index=True)


def _compile(python: Path, packages: Path, code: Path) -> None:
    """Compile what the code imports from these packages. Without that, each child compiles it when it starts: so that
    fails nothing. The interpreter is the one to which the environment's links, so that none of its packages is told
    that an interpreter starts."""
    try:
        subprocess.run(
            [str(python.resolve()), "-I", "-S", "-B", str(COMPILER), str(packages), str(code)],
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMPILING_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("an environment is compiled in part only", error=type(error).__name__)


def _interpreter(python: str) -> str:
    """What uv is told: the interpreter of this process where it has the right version, which saves uv a search."""
    own = str(getattr(sys, "_base_executable", ""))
    return own if own and sysconfig.get_python_version() == python else python
