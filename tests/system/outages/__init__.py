"""Outages that last, under load: `python -m tests.system.outages --postgres 10m --store 90s`, `--read-only`, `--kafka`.

For each server named: a stack of its own takes jobs over HTTP and over Kafka, the server stands still for that long
(SIGSTOP: it keeps every connection and answers nobody) or takes no writes (`--read-only`), and goes on. Prints every
30 s what each process has in memory, a verdict for each server, and at the end a line for each that fits a note.
"""
