"""What an author may hand over, and what the author is told otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpu_worker.child import made_media
from gpu_worker.child.made_media import MadeMedia, MediaTooLarge

SHAPE = (48, 64, 3)


@pytest.fixture
def made(tmp_path: Path) -> MadeMedia:
    return MadeMedia(str(tmp_path / "outputs"), 10 * 2**20)


def raw(made: MadeMedia, number: int = 0) -> Any:
    one = made.made[number]
    data = Path(made._directory, made_media.raw_name(number)).read_bytes()
    return np.frombuffer(data, np.uint8).reshape(one["frames"], one["height"], one["width"], 3)


def frames(count: int = 5) -> Any:
    return np.arange(count * 48 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(count, *SHAPE)


class Tensor:
    """As much of torch's as is asked for, on numpy."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape = array, array.shape
        self.calls: list[str] = []

    @property
    def dtype(self) -> Any:
        return self.array.dtype.type

    def is_floating_point(self) -> bool:
        return bool(self.array.dtype.kind == "f")

    def detach(self) -> Tensor:
        return self

    cpu = detach

    def contiguous(self) -> Tensor:
        return Tensor(np.ascontiguousarray(self.array))

    def __getitem__(self, part: Any) -> Tensor:
        return Tensor(self.array[part])

    def float(self) -> Tensor:
        return Tensor(self.array.astype(np.float32))

    def amin(self) -> Any:
        return self.array.min()

    def amax(self) -> Any:
        return self.array.max()

    def clamp(self, least: int, most: int) -> Tensor:
        return Tensor(self.array.clip(least, most))

    def mul(self, by: int) -> Tensor:
        return Tensor(self.array * by)

    def round(self) -> Tensor:
        return Tensor(np.rint(self.array))

    def to(self, kind: Any) -> Tensor:
        return Tensor(self.array.astype(kind))

    def numel(self) -> int:
        return int(self.array.size)

    def data_ptr(self) -> int:
        return int(self.array.ctypes.data)


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(Tensor=Tensor, uint8=np.uint8))


def one_by_one(given: Any) -> Iterator[Any]:
    yield from given


@pytest.mark.parametrize("kind", ["array", "list", "generator", "chunks", "views", "strided", "lists of views"])
def test_frames_may_come_in_many_ways(made: MadeMedia, kind: str) -> None:
    given = frames()
    ways: dict[str, Any] = {
        "array": given,
        "list": list(given),
        "generator": one_by_one(given),
        "chunks": [given[:2], given[2:]],
        "views": one_by_one(memoryview(frame) for frame in given),
        "strided": np.asfortranarray(given),
        "lists of views": [memoryview(given)[:3], memoryview(given[3:])],
    }
    assert made.video("video.mp4", ways[kind], 24) == 5
    assert (raw(made) == given).all()
    assert made.made == [
        {"kind": "video", "name": "video.mp4", "width": 64, "height": 48, "frames": 5, "rate": 24, "per": 1}
    ]


@pytest.mark.usefixtures("torch")
def test_tensors_are_taken_from_where_they_are(made: MadeMedia) -> None:
    given = frames()
    assert made.video("video.mp4", Tensor(given), 24) == 5
    assert made.video("other.mp4", (Tensor(frame / np.float32(255)) for frame in given), 24) == 5
    assert (raw(made) == given).all()
    assert (raw(made, 1) == given).all()


def test_a_large_array_is_made_bytes_piece_by_piece(made: MadeMedia, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_media, "PIECE_BYTES", 2 * 48 * 64 * 3)
    given = frames()
    assert [shape[0] for shape, _ in made_media.pieces_of("a", given)] == [2, 2, 1]
    made.video("video.mp4", given, 24)
    assert (raw(made) == given).all()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_become_the_nearest_and_an_overshoot_is_cut(made: MadeMedia, kind: type) -> None:
    row: Any = np.array([-0.1, 0.0, 0.498, 0.502, 1.0, 1.2], kind)
    picture = np.repeat(row.reshape(1, 6, 1), 3, axis=2)
    made.image("a.png", picture)
    assert raw(made)[0, 0, :, 0].tolist() == [0, 0, 127, 128, 255, 255]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (np.zeros((5, 3, 48, 64), np.uint8), ValueError, "move the channels to the end"),
        ([np.zeros((3, 48, 64), np.uint8)], ValueError, "move the channels to the end"),
        ([np.zeros((48, 64, 4), np.uint8)], ValueError, "leave the fourth channel out"),
        ([np.zeros((48, 64), np.uint8)], ValueError, "repeat the one channel"),
        ([np.zeros((48, 64, 1), np.uint8)], ValueError, "repeat the one channel"),
        (np.zeros((48, 64, 3), np.uint8), ValueError, "expected frames as an array of [frames, height, width, 3]"),
        ([np.zeros(SHAPE, np.int64)], TypeError, "expected uint8 from 0 to 255, or floats from 0 to 1, found int64"),
        ([memoryview(bytes(48 * 64 * 3)).cast("b", SHAPE)], TypeError, "expected uint8"),
        ([np.full(SHAPE, 255.0)], ValueError, "found 255 to 255; scale them"),
        ([np.full(SHAPE, -1.0)], ValueError, "scale them"),
        ([np.full(SHAPE, np.nan)], ValueError, "found nan"),
        ([np.zeros(SHAPE, np.uint8), np.zeros((48, 66, 3), np.uint8)], ValueError, "found frame 1 to be 66 x 48"),
        ([np.zeros((47, 64, 3), np.uint8)], ValueError, "expected even sides"),
        ([np.zeros((48, 8, 3), np.uint8)], ValueError, "expected sides of 16 to 8192"),
        ([np.zeros((0, 64, 3), np.uint8)], ValueError, "expected at least one pixel"),
        ([], ValueError, "expected at least one frame"),
        (np.zeros((0, 48, 64, 3), np.uint8), ValueError, "expected at least one frame"),
        (["words"], TypeError, "found str"),
        ("words", TypeError, "found str"),
        (7, TypeError, "found int"),
        ([None], TypeError, "found NoneType"),
    ],
)
def test_an_author_is_told_what_was_expected(made: MadeMedia, given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as raised:
        made.video("video.mp4", given, 24)
    assert words in str(raised.value)
    assert made.made == []
    assert not list(Path(made._directory).glob("*")), "nothing of it counts, and nothing lies there"


@pytest.mark.parametrize("fps", [0, -1, 241, "many", None, float("nan"), float("inf"), (1, 2)])
def test_a_rate_is_a_number_of_frames_a_second(made: MadeMedia, fps: Any) -> None:
    with pytest.raises(ValueError, match="frames a second"):
        made.video("video.mp4", frames(), fps)


def test_rates_of_television_are_kept_exactly() -> None:
    assert [made_media.rate_of(fps) for fps in (24, 23.976, 29.97, 12.5, "30000/1001")] == [
        (24, 1),
        (24000, 1001),
        (30000, 1001),
        (25, 2),
        (30000, 1001),
    ]


def test_what_an_attempt_may_hand_over_ends_at_the_nodes_budget(tmp_path: Path) -> None:
    made = MadeMedia(str(tmp_path), 10 * 48 * 64 * 3)
    made.video("a.mp4", frames(5), 24)
    with pytest.raises(MediaTooLarge, match="HEADRACE_FRAMES_BYTES_MAX"):
        made.video("b.mp4", frames(6), 24)
    made.video("c.mp4", frames(5), 24)
    assert [one["name"] for one in made.made] == ["a.mp4", "c.mp4"]


def test_a_generator_that_fails_fails_with_its_own_words(made: MadeMedia) -> None:
    def failing() -> Iterator[Any]:
        yield frames()[0]
        raise RuntimeError("CUDA error")

    with pytest.raises(RuntimeError, match="CUDA error"):
        made.video("video.mp4", failing(), 24)
    assert made.made == []


@pytest.mark.parametrize("name", ["video.mkv", "video", None, "video.MP4"])
def test_a_name_says_its_format(made: MadeMedia, name: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a name that ends in \.mp4"):
        made.video(name, frames(), 24)
    with pytest.raises(ValueError, match=r"\.png or \.jpg"):
        made.image(name, frames()[0])


def test_one_image_is_one_picture(made: MadeMedia) -> None:
    with pytest.raises(ValueError, match="expected at most 1 frame, found more"):
        made.image("a.png", frames())
    made.image("a.png", frames(1))
    assert raw(made).shape == (1, *SHAPE)
