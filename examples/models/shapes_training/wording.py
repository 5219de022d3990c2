"""How people might ask for a clip: one combination worded in many ways, some of which leave things out."""

from __future__ import annotations

import random

from clips import Combination

SHAPE_WORDS = {
    "ball": ("ball", "ball", "circle", "disc", "dot", "sphere"),
    "square": ("square", "square", "box", "block"),
    "triangle": ("triangle", "triangle", "pyramid"),
    "diamond": ("diamond", "diamond", "rhombus"),
    "ring": ("ring", "ring", "hoop", "donut"),
    "star": ("star", "star", "five-pointed star"),
}
COLOUR_WORDS = {
    "red": ("red", "red", "crimson", "scarlet"),
    "orange": ("orange",),
    "yellow": ("yellow", "yellow", "golden"),
    "green": ("green", "green", "emerald"),
    "cyan": ("cyan", "turquoise", "aqua", "teal"),
    "blue": ("blue",),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink", "pink", "rose"),
    "white": ("white",),
}
SIZE_WORDS = {
    "small": ("small", "tiny", "little"),
    "medium": ("medium-sized", "medium"),
    "large": ("large", "big", "huge"),
}
BACKGROUND_WORDS = {
    "black": ("black", "black", "dark"),
    "white": ("white",),
    "grey": ("grey", "gray"),
    "navy": ("navy", "navy blue", "dark blue"),
    "green": ("green", "dark green"),
    "sky": ("sky",),
}
VERBS = (
    "moving",
    "going",
    "drifting",
    "sliding",
    "gliding",
    "travelling",
    "flying",
    "moves",
    "goes",
    "drifts",
    "slides",
    "that moves",
    "that drifts",
    "that is moving",
    "which goes",
    "which slides",
    "is moving",
    "heading",
    "floating",
)
SIDES = {
    "left": ("left", "left", "to the left", "towards the left", "leftwards", "from right to left"),
    "right": ("right", "right", "to the right", "towards the right", "rightwards", "from left to right"),
    "up": ("up", "up", "upwards", "to the top", "from bottom to top"),
    "down": ("down", "down", "downwards", "to the bottom", "from top to bottom"),
}
WHOLE_MOTIONS = {
    "up": ("rising", "that rises", "climbing", "ascending"),
    "down": ("falling", "that falls", "dropping", "sinking", "descending"),
    "still": (
        "staying still",
        "that stays still",
        "not moving",
        "standing still",
        "at rest",
        "that does not move",
        "motionless",
    ),
    "bouncing": ("bouncing", "that bounces", "bouncing up and down", "bounces on the floor", "jumping up and down"),
    "circling": (
        "moving in a circle",
        "going round in circles",
        "circling",
        "that circles around",
        "orbiting",
        "going around",
    ),
    "growing": ("growing", "that grows", "getting bigger", "growing larger", "becoming larger", "expanding"),
    "shrinking": ("shrinking", "that shrinks", "getting smaller", "becoming smaller", "growing smaller"),
}
OPENINGS = (
    "a video of",
    "show me",
    "show",
    "an animation of",
    "a clip of",
    "please draw",
    "make",
    "i want",
    "i would like to see",
)
CLOSINGS = ("please", "in high quality", "smooth", "in a short clip", "nice and simple", "looping", "cinematic")
STRANGE = ("beautiful", "very", "wonderful", "shiny", "modern", "retro", "quick", "lovely", "calm", "bright")


def describe(rng: random.Random, combination: Combination, size: str | None, *, complete: bool = False) -> str:
    """One wording of the combination.

    With `complete` the wording names shape, colour, motion and background. Without it, each may be left out. `size` is
    named about half of the time, and never for shapes that grow or shrink.
    """

    def keep(chance: float) -> bool:
        return complete or rng.random() < chance

    thing = _thing(rng, combination, size, keep(0.93), keep(0.95))
    motion = _motion(rng, combination.motion) if keep(0.92) else ""
    ground = _background(rng, combination.background) if keep(0.7) else ""
    order = rng.random()
    if order < 0.6 or not ground:
        words = f"{thing} {motion} {ground}"
    elif order < 0.75:
        words = f"{thing} {ground} {motion}"
    elif order < 0.9:
        words = f"{ground}, {thing} {motion}"
    else:
        words = f"{thing}, {motion}, {ground}"
    if rng.random() < 0.2:
        words = f"{rng.choice(OPENINGS)} {words}"
    if rng.random() < 0.1:
        words = f"{words}, {rng.choice(CLOSINGS)}"
    return " ".join(words.replace(" ,", ",").split()).strip(", ")


def _thing(rng: random.Random, combination: Combination, size: str | None, with_colour: bool, with_shape: bool) -> str:
    shape = rng.choice(SHAPE_WORDS[combination.shape]) if with_shape else rng.choice(("shape", "thing", "object"))
    colour = rng.choice(COLOUR_WORDS[combination.colour]) if with_colour else ""
    sized = size is not None and combination.motion not in ("growing", "shrinking") and rng.random() < 0.5
    scale = rng.choice(SIZE_WORDS[str(size)]) if sized else ""
    strange = rng.choice(STRANGE) if rng.random() < 0.08 else ""
    article = rng.choice(("a", "a", "a", "the", "one", ""))
    if colour and rng.random() < 0.1:
        return f"{article} {scale} {strange} {shape} {rng.choice(('in', 'that is', 'coloured'))} {colour}"
    return f"{article} {strange} {scale} {colour} {shape}"


def _motion(rng: random.Random, motion: str) -> str:
    if motion in WHOLE_MOTIONS and (motion not in SIDES or rng.random() < 0.25):
        return rng.choice(WHOLE_MOTIONS[motion])
    verb = rng.choice(VERBS)
    if motion in SIDES:
        return f"{verb} {rng.choice(SIDES[motion])}"
    vertical, horizontal = motion.split("-")
    return (
        verb
        + " "
        + rng.choice(
            (
                f"{vertical} and {horizontal}",
                f"{vertical} and to the {horizontal}",
                f"{vertical}-{horizontal}",
                f"diagonally {vertical} {horizontal}",
                f"{horizontal} and {vertical}",
                f"to the {'upper' if vertical == 'up' else 'lower'} {horizontal}",
                f"towards the {'top' if vertical == 'up' else 'bottom'} {horizontal} corner",
            )
        )
    )


def _background(rng: random.Random, background: str) -> str:
    name = rng.choice(BACKGROUND_WORDS[background])
    if background == "sky":
        return rng.choice(
            ("in the sky", "in a blue sky", "on a sky background", "against the sky", "under the open sky")
        )
    return rng.choice(
        (
            f"on a {name} background",
            f"on a {name} background",
            f"on {name}",
            f"over a {name} background",
            f"against a {name} backdrop",
            f"in front of a {name} wall",
            f"with a {name} background",
            f"{name} background",
        )
    )
