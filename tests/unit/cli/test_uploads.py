"""`headrace uploads`, and files that inputs of `jobs submit` name: what arrives, and what is never sent twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli import api_client, upload_sending
from cli.api_client import ApiClient
from cli.errors import FAILED, WRONG_USE, CommandFailed, WrongUse
from cli.job_inputs import MediaFile, read, with_files
from cli.main import run
from contract.prepared import UPLOAD_DATA, upload_prefix
from tests.twin.object_store import TwinObjectStore
from tests.twin.uploads import TwinUploads
from tests.unit.api.served import ServedApi

CLIP = b"0123456789"
SMALL = 4
STORE = "twin.invalid"


class Scene:
    """The API in memory behind the command's client, and an object store that takes what links name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **settings: Any) -> None:
        self.table, self.store = TwinUploads(), TwinObjectStore()
        self.served = ServedApi(reads=self.table.functions, store=self.store, **settings)
        self.sent: list[str] = []
        """`METHOD host path` of every request."""
        self.troubles: list[Any] = []
        """What the next requests that send bytes meet: a status, or an exception."""
        self.file = tmp_path / "clip.mp4"
        self.file.write_bytes(CLIP)

        def made(url: str, **options: Any) -> httpx.Client:
            return httpx.Client(transport=httpx.MockTransport(self._answer), **options)

        monkeypatch.setattr(api_client, "http_client", made)
        monkeypatch.setattr(upload_sending, "REST_S", 0.0)
        self.client = ApiClient("http://api.invalid", "hr_secret")

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        self.sent.append(f"{request.method} {request.url.host} {request.url.path}")
        if request.method == "PUT" and self.troubles and (trouble := self.troubles.pop(0)) is not None:
            if isinstance(trouble, Exception):
                raise trouble
            return httpx.Response(trouble)
        if request.url.host == STORE:
            return self._stored(request, body)
        url = request.url.raw_path.decode()
        answer = self.served.request(request.method, url, content=body, headers={"Content-Type": "application/json"})
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)

    def _stored(self, request: httpx.Request, body: bytes) -> httpx.Response:
        key = request.url.path.removeprefix("/twin/")
        asked = request.url.params
        assert "authorization" not in request.headers, "the key is the API's alone"
        assert asked["bytes"] == request.headers["Content-Length"] == str(len(body))
        if "uploadId" in asked:
            self.store.put_part(key, asked["uploadId"], int(asked["partNumber"]), body)
            return httpx.Response(200)
        assert request.headers["If-None-Match"] == "*"
        return httpx.Response(200 if self.store.put(key, body, if_absent=True) else 412)

    def bring(self) -> dict[str, Any]:
        return upload_sending.bring(self.client, self.file)

    def puts(self) -> list[str]:
        """Hosts to which bytes were sent."""
        return [sent.split()[1] for sent in self.sent if sent.startswith("PUT")]

    def data_of(self, upload: dict[str, Any]) -> bytes:
        return self.store.objects[upload_prefix("acme", upload["upload"]) + UPLOAD_DATA]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scene:
    return Scene(monkeypatch, tmp_path)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scene:
    for name in ("WHOLE_BYTES_MAX", "PART_BYTES"):
        monkeypatch.setattr(f"api.uploads.{name}", SMALL)
    return Scene(monkeypatch, tmp_path)


def test_a_file_is_sent_to_the_store_and_completed(scene: Scene) -> None:
    upload = scene.bring()
    assert (upload["state"], scene.data_of(upload), scene.puts()) == ("ready", CLIP, [STORE])


def test_the_same_file_again_is_not_sent_again(scene: Scene) -> None:
    first = scene.bring()
    assert scene.bring() == first
    assert len(scene.puts()) == 1
    scene.file.write_bytes(CLIP[::-1])
    assert scene.bring()["upload"] != first["upload"]


def test_a_private_store_gets_it_through_the_api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scene = Scene(monkeypatch, tmp_path, upload_links=False)
    assert scene.data_of(scene.bring()) == CLIP
    assert scene.puts() == ["api.invalid"]


def test_an_interrupted_command_goes_on_with_what_has_not_arrived(parts: Scene) -> None:
    parts.troubles = [None, *[httpx.ConnectError("cut")] * upload_sending.TRIES]
    with pytest.raises(CommandFailed, match=r"interrupted .*; run this again, and it goes on"):
        parts.bring()
    assert len(parts.table.rows) == 1
    before = len(parts.puts())
    upload = parts.bring()
    assert parts.data_of(upload) == CLIP
    assert len(parts.puts()) - before == 2, "of three parts"
    assert len(parts.table.rows) == 1


@pytest.mark.parametrize("trouble", [500, 503, 429, 403, 408, httpx.ReadError("cut")])
def test_what_passes_is_tried_again(parts: Scene, trouble: Any) -> None:
    parts.troubles = [trouble, None, trouble]
    assert parts.data_of(parts.bring()) == CLIP


def test_a_store_that_cannot_be_reached_from_here_gets_it_through_the_api(scene: Scene) -> None:
    scene.troubles = [httpx.ConnectError("refused")]
    assert scene.data_of(scene.bring()) == CLIP
    assert scene.puts() == [STORE, "api.invalid"]


def test_an_answer_that_was_lost_is_no_failure(scene: Scene) -> None:
    put = scene._stored

    def lost(request: httpx.Request, body: bytes) -> httpx.Response:
        put(request, body)
        raise httpx.ReadError("cut")

    scene._stored = lost  # type: ignore[method-assign]
    assert scene.bring()["state"] == "ready"


def test_what_does_not_pass_ends_at_once(scene: Scene) -> None:
    scene.troubles = [400]
    with pytest.raises(CommandFailed, match="the object store answered 400"):
        scene.bring()
    assert len(scene.puts()) == 1


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "expected a file of 1 to 200000000 bytes, found 0"), (None, "cannot")]
)
def test_what_is_no_file_to_bring_is_wrong_use(scene: Scene, data: bytes | None, said: str) -> None:
    if data is None:
        scene.file.unlink()
    else:
        scene.file.write_bytes(data)
    with pytest.raises(WrongUse, match=said):
        scene.bring()
    assert scene.table.table == {}


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """Without the log of the API."""
    return "\n".join(line for line in capsys.readouterr().out.splitlines() if "[info " not in line).strip()


class TestCommands:
    @pytest.fixture(autouse=True)
    def connected(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("uploads", "jobs"):
            monkeypatch.setattr(f"cli.{module}.api", lambda data: ApiClient("http://api.invalid", "hr_secret"))

    def test_create_list_show_delete(self, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["uploads", "create", str(scene.file)]) == 0
        name = printed(capsys)
        assert name.startswith("upload:u-")
        assert run(["uploads", "list", "--format", "json"]) == 0
        (listed,) = json.loads(printed(capsys))
        assert (listed["name"], listed["state"]) == (name, "ready")
        assert run(["uploads", "show", name]) == 0
        assert "ready" in printed(capsys)
        assert run(["uploads", "delete", name]) == 0
        assert "deleted" in printed(capsys)
        assert run(["uploads", "create", str(scene.file)]) == 0
        assert printed(capsys) != name, "what was deleted is brought again"

    def test_an_id_of_another_form_is_wrong_use(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["uploads", "show", "../jobs"]) == WRONG_USE
        assert "expected an upload's id" in capsys.readouterr().err

    def test_another_tenants_is_not_there(self, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
        upload = scene.served.request("POST", "/v1/uploads", json={"bytes": 1}, tenant="other").json()["upload"]
        assert run(["uploads", "delete", upload["upload"]]) in (FAILED, WRONG_USE)
        assert "you have no upload with this id" in capsys.readouterr().err


SCHEMA = {
    "properties": {
        "prompt": {"type": "string"},
        "clip": {"type": "string", "format": "video"},
        "stills": {"type": "array", "items": {"type": "string", "format": "image"}},
    }
}


def test_files_of_inputs_are_brought_where_the_schema_asks_for_media() -> None:
    pairs = ["prompt=@heron", "clip=@a.mp4", "stills=@b.png", "stills=@c.png"]
    inputs = read(pairs, None, SCHEMA)
    assert inputs == {
        "prompt": "@heron",
        "clip": MediaFile(Path("a.mp4")),
        "stills": [MediaFile(Path("b.png")), MediaFile(Path("c.png"))],
    }
    assert with_files(inputs, lambda path: f"upload:{path.name}") == {
        "prompt": "@heron",
        "clip": "upload:a.mp4",
        "stills": ["upload:b.png", "upload:c.png"],
    }
    assert read(["clip=upload:u-1", "stills=[]"], None, SCHEMA) == {"clip": "upload:u-1", "stills": []}
