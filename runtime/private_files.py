"""Who may read what a process of ours writes: its user, and nobody else of the machine."""

from __future__ import annotations

UMASK = 0o077
"""Of every process of ours, and of the servers of a stack."""

OTHERS = 0o077
"""The bits of a mode by which group and others get in."""
