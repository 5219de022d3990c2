"""Judge the three models on held-out cases: `python evaluate_media.py modify|animate|upscale`.

Reads the published weights and writes MODEL_evaluation.json and MODEL_sheet.png here. The cases are drawn by the seed
that cases.py keeps for these weights. With `--development N` the cases are drawn by seed N from combinations that the
models were trained on, and go to `--out`: that is for looking at a model while it is made.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent / "shapes_training"))

import cases
from check import look
from check_media import animate_faults, astray, distance, gain, modify_faults, psnr, rises, thing
from film_file import read_mp4, write_mp4, write_png

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent

Clip = npt.NDArray[np.uint8]
SHEET_ROWS = 16


class Quiet:
    """A node's context that keeps nothing but the files."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def progress(self, fraction: float, message: str = "") -> None:
        del fraction, message

    def cancelled(self) -> bool:
        return False

    def video(self, name: str, frames: Any, fps: float) -> int:
        return write_mp4(str(Path(self.folder) / name), frames, int(fps))


def share(values: list[bool]) -> float:
    return round(sum(values) / len(values), 4)


def in_grid(frames: Clip, side: int) -> Clip:
    """Frames (k, large, large, 3) as the mean of each square of pixels that comes to one of side x side."""
    part = frames.shape[1] // side
    return frames.reshape(len(frames), side, part, side, part, 3).mean((2, 4)).round().astype(np.uint8)


def strip(frames: Clip, wanted: int = 6) -> Clip:
    chosen = frames[np.linspace(0, len(frames) - 1, wanted).round().astype(int)]
    return np.concatenate(list(np.pad(chosen, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=128)), 1)


def row(strips: list[Clip], passed: bool) -> Clip:
    """Strips side by side, with a red mark at the left when the case failed."""
    whole = np.pad(np.concatenate([np.pad(one, ((0, 0), (0, 6), (0, 0)), constant_values=255) for one in strips], 1),
                   ((1, 1), (6, 0), (0, 0)), constant_values=255)  # fmt: skip
    if not passed:
        whole[:, :6] = (255, 0, 0)
    return whole


def modify(network: Any, listed: list[Any], model: Any) -> tuple[dict[str, Any], list[Clip]]:
    from codec import to_bytes
    from edit import FREEDOM

    looked = [network.look(torch.from_numpy(one.source)) for one in listed]
    tracks, codes = torch.stack([one[0] for one in looked]), torch.stack([one[1] for one in looked])
    asked = [(one.edit.result.colour if "colour" in one.edit.named else "",
              one.edit.result.shape if "shape" in one.edit.named else "") for one in listed]  # fmt: skip
    report: dict[str, Any] = {"cases": len(listed), "modes": {}}
    results: dict[str, list[Clip]] = {}
    for mode, freedom in FREEDOM.items():
        new_tracks, new_codes = network.edit(
            tracks, codes, [one.prompt for one in listed], [freedom] * len(listed), [one.seed for one in listed]
        )
        results[mode] = []
        for number, one in enumerate(listed):
            with torch.inference_mode():
                code, track = new_codes[number : number + 1], new_tracks[number : number + 1]
                made, covered = network.codec.renderer.frames(code, track)
                kept = (1 - freedom) * network.texture(torch.from_numpy(one.source), tracks[number], codes[number])
            results[mode].append(to_bytes(made[0] + kept * (1 - covered[0])).numpy())
        keeps = not mode.startswith("reimagine")
        faults = [
            modify_faults(one.source, made, *what, keeps_track=keeps)
            for one, made, what in zip(listed, results[mode], asked, strict=True)
        ]
        off = [astray(one.source, made) for one, made in zip(listed, results[mode], strict=True)]
        report["modes"][mode] = {
            "passed": share([not one for one in faults]),
            "asked_change_made": share([not {"colour", "outline"} & set(one) for one in faults]),
            "track_within_3_px": share([one <= 3 for one in off]),
            "track_off_px_median": round(statistics.median(off), 3),
            "track_off_px_worst": round(max(off), 3),
            "distance_mean": round(statistics.mean(
                distance(one.source, made) for one, made in zip(listed, results[mode], strict=True)), 3),
            "motion_named_the_same": share([
                look(made).motion == look(one.source).motion for one, made in zip(listed, results[mode], strict=True)]),
            "faults": dict(Counter(fault for one in faults for fault in one)),
        }  # fmt: skip
        report["modes"][mode]["failed"] = [
            {"prompt": one.prompt, "source": one.edit.source.key, "seed": one.seed, "faults": fault,
             "seen": f"{look(made).colour} {thing(made).outline}"}
            for one, made, fault in zip(listed, results[mode], faults, strict=True) if fault]  # fmt: skip
    means = [report["modes"][mode]["distance_mean"] for mode in FREEDOM]
    report["distance_rises"] = rises(means)
    report["whole"] = whole_modify(model, listed, asked)
    sheet = []
    for number in range(SHEET_ROWS):
        shown = [strip(listed[number].source, 4)]
        shown += [strip(results[mode][number], 4) for mode in ("adhere_1", "flex_2", "reimagine_1", "reimagine_3")]
        sheet.append(row(shown, not modify_faults(listed[number].source, results["adhere_1"][number], *asked[number],
                                                  keeps_track=True)))  # fmt: skip
    return report, sheet


def whole_modify(model: Any, listed: list[Any], asked: list[tuple[str, str]]) -> dict[str, Any]:
    """Ten cases through `predict`, with files: the film's own frames, and clips of other lengths."""
    passed, counts, modes, seconds = [], [], Counter(), []
    for number, one in enumerate(listed[:10]):
        source = np.concatenate([one.source, one.source[::-1]])[: (24, 12, 37, 48)[number % 4]]
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/source.npy", source)
            started = time.monotonic()
            said = model.predict(
                {"video": f"{folder}/source.npy", "prompt": one.prompt, "seed": one.seed}, Quiet(folder)
            )
            seconds.append(time.monotonic() - started)
            film = in_grid(read_mp4(f"{folder}/video.mp4"), 64)
        counts.append(len(film) == said["frames"] == len(source))
        modes[said["mode"]] += 1
        passed.append(not modify_faults(source, film, *asked[number], keeps_track=True))
    return {"films": len(passed), "frames_as_in_source": share(counts), "passed": share(passed),
            "auto_chose": dict(modes), "seconds_median": round(statistics.median(seconds), 2)}  # fmt: skip


def animate(network: Any, listed: list[Any], model: Any) -> tuple[dict[str, Any], list[Clip]]:
    from codec import to_bytes

    start, codes = network.look(torch.from_numpy(np.stack([one.picture for one in listed])))
    tracks = network.animate(start, [one.prompt for one in listed], [one.seed for one in listed])
    made = [
        to_bytes(network.frames(torch.from_numpy(one.picture), track, code)).numpy()
        for one, track, code in zip(listed, tracks, codes, strict=True)
    ]
    with torch.inference_mode():
        plain = to_bytes(network.codec.renderer.frames(codes, tracks[:, :1])[0][:, 0]).numpy()
    faults = [animate_faults(one.picture, clip, one.motion) for one, clip in zip(listed, made, strict=True)]
    seen = [look(clip) for clip in made]
    shifted = listed[1:] + listed[:1]
    by_motion: dict[str, list[bool]] = {}
    for one, fault in zip(listed, faults, strict=True):
        by_motion.setdefault(one.motion, []).append("motion" not in fault)
    report = {
        "cases": len(listed),
        "passed": share([not one for one in faults]),
        "motion_follows_prompt": share(["motion" not in one for one in faults]),
        "motion_of_the_next_prompt": share([one.motion == see.motion for one, see in zip(shifted, seen, strict=True)]),
        "colour_kept": share([one.shown.colour == see.colour for one, see in zip(listed, seen, strict=True)]),
        "outline_kept": share([one.shown.shape == thing(clip).outline for one, clip in zip(listed, made, strict=True)]),
        "first_frame_25_db_without_correction": share([
            psnr(one.picture, frame) >= 25 for one, frame in zip(listed, plain, strict=True)]),
        "first_frame_db_without_correction_worst": round(min(
            psnr(one.picture, frame) for one, frame in zip(listed, plain, strict=True)), 2),
        "first_frame_25_db": share([psnr(one.picture, clip[0]) >= 25 for one, clip in zip(listed, made, strict=True)]),
        "by_motion": {name: f"{sum(right)}/{len(right)}" for name, right in sorted(by_motion.items())},
        "failed": [
            {"prompt": one.prompt, "asked": one.motion, "shown": one.shown.key, "seed": one.seed, "faults": fault,
             "seen": see.motion}
            for one, fault, see in zip(listed, faults, seen, strict=True) if fault],
    }  # fmt: skip
    films, seconds = [], []
    for one in listed[:10]:
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/image.npy", one.picture)
            started = time.monotonic()
            model.predict({"image": f"{folder}/image.npy", "prompt": one.prompt, "seed": one.seed}, Quiet(folder))
            seconds.append(time.monotonic() - started)
            films.append(in_grid(read_mp4(f"{folder}/video.mp4"), 64))
    report["whole"] = {
        "films": len(films),
        "passed": share([not animate_faults(one.picture, film, one.motion)
                         for one, film in zip(listed, films, strict=False)]),
        "first_frame_db_worst": round(min(psnr(one.picture, film[0])
                                          for one, film in zip(listed, films, strict=False)), 2),
        "seconds_median": round(statistics.median(seconds), 2),
    }  # fmt: skip
    order = sorted(range(len(listed)), key=lambda number: not faults[number])[: SHEET_ROWS // 4]
    chosen = order + [number for number in range(2 * SHEET_ROWS) if number not in order]
    pairs = [[row([strip(listed[number].picture[None], 1), strip(made[number], 7)], not faults[number])
              for number in chosen[at : at + 2]] for at in range(0, 2 * SHEET_ROWS, 2)]  # fmt: skip
    return report, [np.concatenate(pair, 1) for pair in pairs]


def upscale(network: Any, seed: int, combinations: list[Any], model: Any) -> tuple[dict[str, Any], list[Clip]]:
    del model
    report: dict[str, Any] = {"cases": cases.CASES}
    sheet: list[Clip] = []
    for scale in (2, 4):
        truth = cases.large_clips(seed + scale, combinations, 4)  # 256 x 256
        for filmed in (False, True):
            gains, levels, seconds = [], [], []
            for number, clip in enumerate(truth):
                small = in_grid(clip, 256 // scale)
                small = through_film(small) if filmed else small
                started = time.monotonic()
                made = np.stack([network.enlarge(torch.from_numpy(one), scale).numpy() for one in small])
                seconds.append((time.monotonic() - started) / len(clip))
                gains.append(gain(clip, small, made))
                levels.append(psnr(clip, made))
                if number < 2:
                    sheet.append(close_look(clip[0], small[0], made[0], scale))
            report[f"{scale}x of film" if filmed else f"{scale}x"] = {
                "gain_db_mean": round(statistics.mean(gains), 2),
                "gain_db_worst": round(min(gains), 2),
                "gain_of_1_db": share([one >= 1 for one in gains]),
                "psnr_db_mean": round(statistics.mean(levels), 2),
                "seconds_a_frame": round(statistics.median(seconds), 3),
            }
    return report, sheet


def through_film(frames: Clip) -> Clip:
    """Frames as they come out of an H.264 film, with colour for each 2 x 2 pixels only."""
    with tempfile.TemporaryDirectory() as folder:
        write_mp4(f"{folder}/film.mp4", frames, 12)
        return read_mp4(f"{folder}/film.mp4")


def close_look(truth: Clip, small: Clip, made: Clip, scale: int) -> Clip:
    """The same 64 x 64 pixels of small (as squares), bicubic, made and true, where the picture changes most."""
    from check_media import bicubic

    change = np.abs(np.diff(truth.astype(int), axis=0)).sum((1, 2))
    across = np.abs(np.diff(truth.astype(int), axis=1)).sum((0, 2))
    top = int(np.clip(np.average(np.arange(255), weights=change + 1e-9) - 32, 0, 192))
    left = int(np.clip(np.average(np.arange(255), weights=across + 1e-9) - 32, 0, 192))
    part = (slice(top, top + 64), slice(left, left + 64))
    shown = [small.repeat(scale, 0).repeat(scale, 1)[part], bicubic(small, scale)[part], made[part], truth[part]]
    return np.concatenate([np.pad(one.repeat(3, 0).repeat(3, 1), ((2, 2), (2, 2), (0, 0)), constant_values=128)
                           for one in shown], 1)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=("modify", "animate", "upscale"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--development", type=int)
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder, module, kind = {
        "modify": ("modify_video", "modify_video", "ModifyVideoModel"),
        "animate": ("image_to_video", "image_to_video", "ImageToVideoModel"),
        "upscale": ("upscale", "upscale", "UpscaleModel"),
    }[arguments.model]
    sys.path.insert(0, str(MODELS / folder))
    import model as published

    weights = arguments.weights or MODELS / folder / "weights" / f"{module}.safetensors"
    one = getattr(published, kind)()
    one.load(str(weights.parent), "cpu", 0, 1)
    if arguments.development is None:
        seed, combinations = cases.seed_of(folder, weights), cases.held_out()
    else:
        seed, combinations = arguments.development, cases.development()
    if arguments.model == "modify":
        report, sheet = modify(one.network, cases.modify_cases(seed, combinations), one)
    elif arguments.model == "animate":
        report, sheet = animate(one.network, cases.animate_cases(seed, combinations), one)
    else:
        report, sheet = upscale(one.network, seed, combinations, one)
    report = {"seed": seed, "held_out": arguments.development is None, **report}
    print(json.dumps(report, indent=1))
    (arguments.out / f"{arguments.model}_evaluation.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    write_png(str(arguments.out / f"{arguments.model}_sheet.png"), np.concatenate(sheet, 0))


if __name__ == "__main__":
    main()
