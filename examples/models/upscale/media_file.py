"""Files of frames that the node prepared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]  # (height, width, 3)


def read_pictures(path: str, dimensions: int) -> Picture:
    """The .npy file that the node prepared: uint8, the last of its `dimensions` are the three colours."""
    pictures = np.load(path, allow_pickle=False)
    if pictures.dtype != np.uint8 or pictures.ndim != dimensions or pictures.shape[-1] != 3:
        raise ValueError(f"expected {dimensions} dimensions of uint8, the last of 3 colours, "
                         f"found {pictures.dtype} {pictures.shape}")  # fmt: skip
    return pictures
