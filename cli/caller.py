"""Who runs this command, for histories that name people."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """The name of the user by the environment or the machine; `uid-N` for a user without a name, as containers have."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"uid-{os.getuid()}"
