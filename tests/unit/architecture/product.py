"""The files of the product, which the tests of the architecture read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = (
    "contract",
    "scheduling",
    "runtime",
    "registry",
    "views",
    "streams",
    "gpu_worker",
    "cpu_worker",
    "api",
    "audit",
    "whatif",
    "operations",
    "cli",
    "local",
    "migrations",
)
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
