"""The training data of `modify-video`: a clip, what somebody asks to be changed, and a clip that has it changed.

What is named changes. What is not named stays, unless `freedom` (0 to 1) lets it go: light and size a little more with
every bit of freedom, the background from 0.3 on, shape and colour from 0.6 on, and the track from 0.6 on too.
No combination that `clips.py` holds out is ever drawn, as source or as result.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from clips import BACKGROUNDS, COLOURS, FRAMES, INVISIBLE, SHAPES, SIDE, Clips, Combination, plan
from wording import BACKGROUND_WORDS, COLOUR_WORDS, SHAPE_WORDS, _background, describe

HALF = (SIDE - 1) / 2
WAVES = 4
NAMED = (("colour",), ("colour",), ("shape",), ("shape",), ("shape", "colour"), ("shape", "colour"), ("background",),
         ("colour", "background"), ("shape", "background"), ("shape", "colour", "background"), ())  # fmt: skip


@dataclass(frozen=True)
class Edit:
    """One request: what the source shows, what the result shows, and which attributes the prompt names."""

    source: Combination
    result: Combination
    named: tuple[str, ...]


def visible(one: Combination) -> bool:
    return (one.colour, one.background) not in INVISIBLE


def other(rng: random.Random, names: tuple[str, ...], name: str) -> str:
    return rng.choice([one for one in names if one != name])


def draw_edit(rng: random.Random, source: Combination, named: tuple[str, ...], freedom: float) -> Edit:
    """A result that differs from `source` in all that is named, and by chance in what is not."""
    loose = {"background": 0.9 * max(0.0, freedom - 0.3) / 0.7, "shape": 0.7 * max(0.0, freedom - 0.6) / 0.4,
             "colour": 0.7 * max(0.0, freedom - 0.6) / 0.4}  # fmt: skip
    choices = {"shape": SHAPES, "colour": COLOURS, "background": tuple(BACKGROUNDS)}
    while True:
        result = source
        for attribute, names in choices.items():
            if attribute in named or rng.random() < loose[attribute]:
                result = replace(result, **{attribute: other(rng, names, getattr(source, attribute))})
        if visible(result):
            return Edit(source, result, named)


def ask(rng: random.Random, edit: Edit) -> str:
    """One wording of the request."""
    if not edit.named:
        return ""
    if len(edit.named) == 3 and rng.random() < 0.7:
        return describe(rng, edit.result, None, complete=True)
    thing = _thing_asked(rng, edit)
    ground = _ground_asked(rng, edit.result.background) if "background" in edit.named else ""
    words = [part for part in (thing, ground) if part]
    if rng.random() < 0.3:
        words.reverse()
    text = rng.choice((" and ", ", ", ", and ")).join(words)
    if rng.random() < 0.12:
        text = rng.choice(("please ", "now ", "i want you to ", "can you ")) + text
    return " ".join(text.split())


def _source_thing(rng: random.Random, edit: Edit) -> str:
    shape, colour = rng.choice(SHAPE_WORDS[edit.source.shape]), rng.choice(COLOUR_WORDS[edit.source.colour])
    return rng.choice(("it", "it", "the thing", "the object", "this", f"the {shape}", f"the {shape}",
                       f"the {colour} {shape}", f"the {colour} {shape}", f"the {colour} thing"))  # fmt: skip


def _thing_asked(rng: random.Random, edit: Edit) -> str:
    thing = _source_thing(rng, edit)
    shape, colour = rng.choice(SHAPE_WORDS[edit.result.shape]), rng.choice(COLOUR_WORDS[edit.result.colour])
    a = "an" if shape[0] in "aeio" else "a"
    if "shape" in edit.named:
        if "colour" in edit.named:
            shape, a = f"{colour} {shape}", "an" if colour[0] in "aeio" else "a"
        return rng.choice((f"turn {thing} into {a} {shape}", f"make {thing} {a} {shape}",
                           f"make {thing} into {a} {shape}",
                           f"replace {thing} with {a} {shape}", f"replace {thing} by {a} {shape}",
                           f"change {thing} to {a} {shape}", f"change {thing} into {a} {shape}", f"{a} {shape}", shape,
                           f"{a} {shape} instead of {thing}", f"{thing} becomes {a} {shape}",
                           f"{thing} should be {a} {shape}", f"{thing} as {a} {shape}", f"show {a} {shape} instead",
                           f"swap {thing} for {a} {shape}"))  # fmt: skip
    if "colour" in edit.named:
        return rng.choice((f"make {thing} {colour}", f"make {thing} {colour}", f"turn {thing} {colour}",
                           f"paint {thing} {colour}", f"colour {thing} {colour}", f"change the colour to {colour}",
                           f"change the colour of {thing} to {colour}", f"{thing} should be {colour}",
                           f"{thing} becomes {colour}", f"{thing} in {colour}", colour, f"recolour {thing} {colour}",
                           f"change {thing} to {colour}", f"give {thing} a {colour} colour",
                           f"a {colour} one"))  # fmt: skip
    return ""


def _ground_asked(rng: random.Random, background: str) -> str:
    name = rng.choice(BACKGROUND_WORDS[background])
    phrase = _background(rng, background)
    return rng.choice((f"change the background to {name}", f"make the background {name}", f"{name} background",
                       f"the background should be {name}", f"put it {phrase}" if " " in phrase else phrase, phrase,
                       phrase))  # fmt: skip


@dataclass(frozen=True)
class Pairs:
    """A batch of n sources and results before they are drawn."""

    edits: list[Edit]
    source: Clips
    result: Clips
    freedom: npt.NDArray[np.float32]  # (n,)
    change: npt.NDArray[np.float32]  # (n, 1 + 2 * WAVES): of the track, as the model's `changed_track` has it


def pairs(seed: int, training: list[Combination], count: int) -> Pairs:
    """Draw `count` requests of training combinations."""
    rng, words_rng = np.random.default_rng(seed), random.Random(seed)
    allowed = {one.key for one in training}
    freedom = np.where(rng.random(count) < 0.3, rng.uniform(0, 0.25, count), rng.random(count)).astype(np.float32)
    edits: list[Edit] = []
    for number in range(count):
        while True:
            source = training[rng.integers(len(training))]
            edit = draw_edit(words_rng, source, words_rng.choice(NAMED), float(freedom[number]))
            if edit.result.key in allowed:
                break
        edits.append(edit)
    source_clips = plan(rng, [one.source for one in edits])
    return Pairs(edits, source_clips, *_results(rng, source_clips, edits, freedom))


def _results(
    rng: np.random.Generator, source: Clips, edits: list[Edit], freedom: npt.NDArray[np.float32]
) -> tuple[Clips, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The results' clips, the freedoms, and the changes of the tracks."""
    count = len(edits)
    fresh = plan(rng, [one.result for one in edits])
    same_colour = np.array([one.source.colour == one.result.colour for one in edits])[:, None]
    same_ground = np.array([one.source.background == one.result.background for one in edits])[:, None]
    colour = np.where(same_colour, source.colour, fresh.colour)
    light = 1 + 0.15 * (freedom * rng.uniform(-1, 1, count))[:, None]
    colour = np.clip((colour + 1) * light - 1, -1, 1).astype(np.float32)
    shade = (freedom * rng.uniform(-40, 40, count) / 127.5)[:, None]
    top = np.clip(np.where(same_ground, source.top, fresh.top) + shade, -1, 1).astype(np.float32)
    bottom = np.clip(np.where(same_ground, source.bottom, fresh.bottom) + shade, -1, 1).astype(np.float32)
    change = np.zeros((count, 1 + 2 * WAVES), np.float32)
    centre, radius = source.centre.copy(), source.radius.copy()
    cosines = np.cos(np.linspace(0, np.pi, FRAMES) * np.arange(WAVES)[:, None])
    widths = np.repeat([0.17, 0.14, 0.08, 0.05], 2)
    for row in range(count):
        whole = np.concatenate([[0.4 * freedom[row] * rng.uniform(-1, 1)],
                                widths * rng.normal(size=2 * WAVES) * max(0.0, freedom[row] - 0.6) / 0.4])  # fmt: skip
        for part in (1.0, 0.7, 0.4, 0.2, 0.0):
            tried = whole * part
            place = source.centre[row] + HALF * cosines.T @ tried[1:].reshape(WAVES, 2)
            size = source.radius[row] * np.exp(tried[0])
            margin = 1.15 * size[:, None] + 1
            if part == 0 or ((place > margin).all() and (place < SIDE - 1 - margin).all() and size.min() > 3.2):
                change[row], centre[row], radius[row] = tried, place, size
                break
    result = Clips([one.result for one in edits], source.sizes, fresh.shape, colour, top, bottom, centre, radius)
    return result, freedom, change
