"""A policy document that tests change in one place."""

from __future__ import annotations

GOOD = """\
tiers:
  api: {slo: 30s}
  free: {slo: 1h}
pools:
  main: {partition: 0}
clusters:
  local: {pool: main, limit: 4}
"""
