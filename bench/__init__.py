"""Benchmarks: ours beside peers, in one run on one machine, medians of at least three. `make bench` runs all and writes
docs/benchmarks.md and its plots. Nothing here is imported by the product."""
