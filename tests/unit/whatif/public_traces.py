"""Rows of public traces, as they are published."""

from __future__ import annotations

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.03,110,27\n"
