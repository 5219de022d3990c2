from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest
from sqlalchemy import Engine

from registry import publishing, wheels
from registry.depot import Depot, InstalledVersion
from registry.errors import RegistryError
from registry.manifest import VersionFile, blob_key, digest_of, encode_manifest
from registry.model_directory import read_model_directory
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from tests.unit.registry.samples import MODEL_PY, PYTHON, write_model

BYTES_MAX = 2**26
"""More than any object here has."""


def stored(store: ObjectStore, directory: Path, folder: Path | None = None) -> str:
    """Blobs and manifest of the directory in the store, as publishing leaves them; the version's digest."""
    model = read_model_directory(directory)
    for file, path in model.sources():
        store.put(blob_key(file.sha256), path.read_bytes())
    if folder is not None:
        wheels.vendor(model.manifest.environment, store, folder)
    digest = digest_of(model.manifest)
    store.put(blob_key(digest), encode_manifest(model.manifest))
    return digest


def wheel(
    folder: Path, version: str = "1.0", body: str = "VALUE = 42\n", more: Mapping[str, str] = MappingProxyType({})
) -> tuple[Path, str]:
    """A small pure wheel, and the lock that names it. `more`: text by file."""
    folder.mkdir(exist_ok=True)
    path = folder / f"headrace_sample-{version}-py3-none-any.whl"
    info = f"headrace_sample-{version}.dist-info"
    files = {
        "headrace_sample.py": body,
        **more,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: headrace-sample\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        f"{len(text)}\n"
        for name, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (files | {f"{info}/RECORD": record + f"{info}/RECORD,,\n"}).items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return path, f"headrace-sample=={version} --hash=sha256:{sha256}\n"


def said_by(installed: InstalledVersion, code: str) -> str:
    done = subprocess.run([installed.python, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.strip()


def test_a_published_version_comes_to_a_node_whole(
    engine: Engine, store: ObjectStore, directory: Path, tmp_path: Path
) -> None:
    version = publishing.publish(directory, engine=engine, store=store, who="ann", pool="main").version
    depot = Depot(tmp_path / "depot", store)
    assert depot.cached() == []
    installed = depot.ensure(version.digest)
    assert installed.manifest == version.manifest
    assert (installed.code / "model.py").read_text() == MODEL_PY
    weights = installed.weights / "echo.safetensors"
    assert weights.read_bytes() == (directory / "weights" / "echo.safetensors").read_bytes()
    assert depot.cached() == [version.digest]
    code = f"import sys; sys.path.insert(0, {str(installed.code)!r}); import model; print(model.Echo.__name__)"
    assert said_by(installed, code) == "Echo"
    assert said_by(installed, "import sys; print(sys.prefix)") == str(installed.python.parent.parent)


def test_what_is_here_needs_no_store(store: ObjectStore, directory: Path, tmp_path: Path, settings: Settings) -> None:
    version = stored(store, directory)
    first = Depot(tmp_path / "depot", store).ensure(version)
    store.delete_prefix("blobs/")
    began = time.monotonic()
    assert Depot(tmp_path / "depot", store).ensure(version) == first
    assert time.monotonic() - began < 0.2


def test_a_version_asked_for_many_times_at_once_is_fetched_once(
    store: ObjectStore, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = stored(store, directory)
    fetched: list[str] = []
    get_file = ObjectStore.get_file

    def counted(self: ObjectStore, key: str, path: Path, size: int) -> None:
        fetched.append(key)
        get_file(self, key, path, size)

    monkeypatch.setattr(ObjectStore, "get_file", counted)
    start = threading.Barrier(6)

    def ensure(_: int) -> InstalledVersion:
        start.wait(10)
        return Depot(tmp_path / "depot", store).ensure(version)

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(ensure, range(6)))
    assert all(each == found[0] for each in found)
    assert len(fetched) == 2  # code and weights
    assert len(list((tmp_path / "depot" / "environments").glob("*/bin"))) == 1


def test_another_process_is_waited_for(store: ObjectStore, directory: Path, tmp_path: Path) -> None:
    version = stored(store, directory)
    depot = Depot(tmp_path / "depot", store)
    versions = tmp_path / "depot" / "versions"
    versions.mkdir(parents=True)
    done = threading.Event()
    with (versions / (version.removeprefix("sha256:") + ".lock")).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def ensure() -> None:
            depot.ensure(version)
            done.set()

        thread = threading.Thread(target=ensure)
        thread.start()
        assert not done.wait(0.3)
        fcntl.flock(other, fcntl.LOCK_UN)
    assert done.wait(30)
    thread.join()


@pytest.mark.parametrize("part", ["code", "weights", "manifest"])
def test_wrong_bytes_in_the_store_are_refused_and_nothing_of_them_stays(
    store: ObjectStore, directory: Path, tmp_path: Path, part: str
) -> None:
    version = stored(store, directory)
    manifest = read_model_directory(directory).manifest
    sha256 = {
        "code": manifest.code[0].sha256,
        "weights": manifest.weights[0].sha256,
        "manifest": version.removeprefix("sha256:"),
    }[part]
    whole = store.get(blob_key(sha256), BYTES_MAX)
    store.put(blob_key(sha256), whole[:-1] + bytes([whole[-1] ^ 1]))
    depot = Depot(tmp_path / "depot", store)
    with pytest.raises(RegistryError, match=f"{sha256}: expected bytes with this sha256") as caught:
        depot.ensure(version)
    assert caught.value.code == "corrupt"
    assert depot.cached() == []
    left = [path for path in (tmp_path / "depot").rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert all(path.name == hashlib.sha256(path.read_bytes()).hexdigest() for path in left)
    store.put(blob_key(sha256), whole)
    assert depot.ensure(version).version == version


def test_a_missing_blob_and_an_unknown_version_are_named(store: ObjectStore, directory: Path, tmp_path: Path) -> None:
    version = stored(store, directory)
    sha256 = read_model_directory(directory).manifest.weights[0].sha256
    store.delete_prefix(blob_key(sha256))
    depot = Depot(tmp_path / "depot", store)
    with pytest.raises(RegistryError, match=f"expected {blob_key(sha256)} in the object store, found none"):
        depot.ensure(version)
    with pytest.raises(RegistryError, match="found none") as caught:
        depot.ensure("sha256:" + "0" * 64)
    assert caught.value.code == "not_found"
    with pytest.raises(RegistryError, match="expected a version like sha256"):
        depot.ensure("../../etc")


@pytest.mark.parametrize("damage", ["changed", "removed", "added", "marker"])
def test_a_damaged_version_on_disk_is_fetched_again(
    store: ObjectStore, directory: Path, tmp_path: Path, damage: str
) -> None:
    version = stored(store, directory)
    depot = Depot(tmp_path / "depot", store)
    installed = depot.ensure(version)
    weights = installed.weights / "echo.safetensors"
    whole = weights.read_bytes()
    if damage == "changed":
        weights.chmod(0o644)
        weights.write_bytes(whole[:-1] + b"!")  # the blob behind the link is the same file
    elif damage == "removed":
        weights.unlink()
    elif damage == "added":
        (installed.code / "sitecustomize.py").write_text("raise SystemExit\n")
    else:
        (weights.parent.parent / "complete.json").write_text("{")
    assert depot.cached() == []
    again = depot.ensure(version)
    assert (again.weights / "echo.safetensors").read_bytes() == whole
    assert sorted(path.name for path in again.code.iterdir()) == ["model.py"]
    assert depot.cached() == [version]


def test_an_environment_is_built_offline_from_vendored_wheels_and_shared(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = wheel(tmp_path / "wheels")
    one = stored(store, write_model(tmp_path / "one", lock=lock), folder=tmp_path / "wheels")
    two = stored(store, write_model(tmp_path / "two", lock=lock, values=(9.0,)))
    path.unlink()
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    depot = Depot(tmp_path / "depot", store)
    installed = depot.ensure(one, wheels_from_index=False)
    assert said_by(installed, "import headrace_sample; print(headrace_sample.VALUE)") == "42"
    assert depot.ensure(two).python == installed.python
    assert depot.cached() == [two, one], "the one that was used last comes first"
    depot.mark_used(one)
    depot.mark_used("sha256:" + "0" * 64)
    assert depot.cached() == [one, two]


def test_nothing_of_an_environment_runs_while_it_is_built(store: ObjectStore, tmp_path: Path) -> None:
    """What the version imports is compiled all the same, and nothing else is."""
    ran = tmp_path / "ran"
    more = {"evil.pth": f"import os; open({str(ran)!r}, 'a').close()\n", "other.py": "", "needed.py": ""}
    _, lock = wheel(tmp_path / "wheels", body=f"import needed\nopen({str(ran)!r}, 'a').close()\n", more=more)
    directory = write_model(tmp_path / "model", lock=lock)
    for file in directory.glob("*.py"):
        file.write_text("import headrace_sample\n" + file.read_text())
    installed = Depot(tmp_path / "depot", store).ensure(stored(store, directory, folder=tmp_path / "wheels"))
    assert not ran.exists()
    packages = next(installed.python.parent.parent.glob("lib/python*/site-packages"))
    found = {path.name.partition(".")[0] for path in packages.glob("__pycache__/*.pyc")}
    assert found == {"headrace_sample", "needed"}
    said_by(installed, "pass")
    assert ran.exists(), "else this proves nothing"


def test_a_wheel_with_another_hash_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    path, lock = wheel(tmp_path / "wheels")
    version = stored(store, write_model(tmp_path / "model", lock=lock), folder=tmp_path / "wheels")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    evil, _ = wheel(tmp_path / "evil", body="VALUE = 'evil'\n")
    store.put(blob_key(sha256), evil.read_bytes())
    depot = Depot(tmp_path / "depot", store)
    with pytest.raises(RegistryError, match=f"{sha256}: expected bytes with this sha256"):
        depot.ensure(version)
    environment = read_model_directory(tmp_path / "model").manifest.environment
    other = VersionFile(evil.name, hashlib.sha256(evil.read_bytes()).hexdigest(), 1)
    store.put(wheels.list_key(environment), msgspec.json.encode(wheels.VendoredWheels((other,))))
    with pytest.raises(RegistryError, match="expected wheels that the environment's lock names by hash"):
        depot.ensure(version)
    assert depot.cached() == []


def test_vendoring_a_lock_whose_wheel_is_not_there_says_which(store: ObjectStore, tmp_path: Path) -> None:
    _, lock = wheel(tmp_path / "wheels")
    wrong = lock[:-65] + "0" * 64 + "\n"
    environment = read_model_directory(write_model(tmp_path / "model", lock=wrong)).manifest.environment
    with pytest.raises(RegistryError, match=r"expected a wheel of headrace-sample==1\.0 with a hash of the lock"):
        wheels.vendor(environment, store, tmp_path / "wheels")
    assert store.list("environments/") == []


def test_without_vendored_wheels_the_policy_decides(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, lock = wheel(tmp_path / "wheels")
    version = stored(store, write_model(tmp_path / "model", lock=lock))
    with pytest.raises(RegistryError, match="the policy does not let them come from an index"):
        Depot(tmp_path / "depot", store).ensure(version, wheels_from_index=False)
    monkeypatch.setenv("UV_OFFLINE", "1")  # an index that can't be reached
    with pytest.raises(RegistryError, match="installing the locked wheels: uv ended with code") as caught:
        Depot(tmp_path / "open", store).ensure(version)
    assert caught.value.code == "environment"
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    installed = Depot(tmp_path / "open", store).ensure(version)
    assert said_by(installed, "import headrace_sample; print(headrace_sample.VALUE)") == "42"


def test_a_wheel_of_the_index_with_another_hash_is_refused(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, lock = wheel(tmp_path / "wheels")
    wheel(tmp_path / "wheels", body="VALUE = 'evil'\n")
    version = stored(store, write_model(tmp_path / "model", lock=lock))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    with pytest.raises(RegistryError, match="installing the locked wheels"):
        Depot(tmp_path / "depot", store).ensure(version)


def test_an_environment_left_half_built_is_built_anew(store: ObjectStore, directory: Path, tmp_path: Path) -> None:
    version = stored(store, directory)
    depot = Depot(tmp_path / "depot", store)
    python = depot.ensure(version).python
    (python.parent.parent / "headrace-complete").unlink()
    (python.parent.parent / "pyvenv.cfg").unlink()
    assert depot.cached() == []
    assert said_by(depot.ensure(version), "import sys; print(sys.prefix)") == str(python.parent.parent)


def test_a_python_that_is_not_here_is_named(store: ObjectStore, directory: Path, tmp_path: Path) -> None:
    path = directory / "model.yaml"
    path.write_text(path.read_text().replace(f'"{PYTHON}"', '"3.99"'))
    with pytest.raises(RegistryError, match=r"making an environment for Python 3\.99") as caught:
        Depot(tmp_path / "depot", store).ensure(stored(store, directory))
    assert caught.value.code == "environment"


def test_wheels_of_another_platform_are_refused(store: ObjectStore, tmp_path: Path) -> None:
    _, lock = wheel(tmp_path / "wheels")
    directory = write_model(tmp_path / "model", lock=lock)
    with (directory / "model.yaml").open("a") as file:
        file.write("platform: macosx_14_0_arm64\n")
    version = stored(store, directory)
    with pytest.raises(RegistryError, match="expected a node of platform macosx_14_0_arm64, found"):
        Depot(tmp_path / "depot", store).ensure(version)


def test_a_full_disk_is_told_and_leaves_nothing_half_done(
    store: ObjectStore, tmp_path: Path, settings: Settings
) -> None:
    """A limit on file size stands in for the disk: the system refuses the write in the same place."""
    version = stored(store, write_model(tmp_path / "model", values=(1.0,) * 100_000))
    code = f"""
import resource, signal
from pathlib import Path
from registry.depot import Depot
from registry.errors import RegistryError
from runtime.object_store import ObjectStore
from runtime.settings import Settings

depot = Depot(Path({str(tmp_path / "depot")!r}), ObjectStore(Settings()))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    depot.ensure({version!r})
except RegistryError as error:
    print(error.code, error)
assert depot.cached() == []
"""
    surroundings = dict(os.environ) | settings.environment()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=surroundings, check=False)
    assert done.stdout.startswith("unavailable"), done.stderr
    assert "found the disk full" in done.stdout
    assert not list((tmp_path / "depot").rglob(".fetching-*"))


def test_no_secret_of_ours_reaches_uv(
    store: ObjectStore, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "uv"
    program.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\nexit 7\n")
    program.chmod(0o755)
    monkeypatch.setattr("registry.uv.uv_program", lambda: str(program))
    monkeypatch.setenv("HEADRACE_S3_SECRET_KEY", "hush")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hush@host/db")
    with pytest.raises(RegistryError, match="uv ended with code 7"):
        Depot(tmp_path / "depot", store).ensure(stored(store, directory))
    assert "PATH=" in (tmp_path / "seen").read_text()
    assert "hush" not in (tmp_path / "seen").read_text()
