"""The contract: every record that crosses a process boundary, its bytes and its bounds.

- What is said: `inputs` (topic `jobs`), `batch` with `events`, `pool_events`, `capacity_events` and `version_events`
  (topic `ledger`), `orders` (topics `dispatch.<cluster>`), `side_topics` (submissions, progress, quarantine), `shadows`
  (topic `shadow`), and `results` (in the object store).
- What holds of records: `chain` (which ledger records count), `lifecycle` (which event may follow which),
  `snapshot_names` (how a snapshot is named, which ones are kept), `bounds` (what a door takes).
- What records are made of: `names` (ids), `policy` with `policy_check` and `policy_document`, `durations`.
- Who says it: `signers` (who may say what in `jobs`), `signing` (how a record proves it), `join_tokens` (which machine
  may join), `access` (what each role may do with topics), `seals` (who made an object).
- How records travel: `topics`, `codec` (bytes and headers), `schemas` (JSON Schema and AsyncAPI).

Nothing here reads a clock, draws a random number or does I/O, and nothing here imports another package of Headrace:
so every other package may import this one. `make check` fails when either rule is broken.
"""
