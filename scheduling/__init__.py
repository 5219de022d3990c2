"""What is decided: the pure core of one pool. Same inputs and times, same bytes out, on any machine.

`decide` is the one door. It runs `judge` (what an input amounts to), `plan` (what to do next) and `evolve` (the only
writer of state). `state/` is what a pool knows, `disciplines/` who goes next, `picking/` where there is room and at
what cost, `attempts/` what becomes of an attempt. `snapshot` and `invariants` read a state; `forecast` says when a job
is likely to start. Not here: clocks, randomness, I/O, logging, Kafka, SQL. Whoever needs those hosts this package.

Follow one job: `judge` accepts its submission. `evolve` puts the job into its line (`state/lines`). `plan` picks it:
the discipline in force says which line is served (`disciplines/`), `state/sharing` which tenant's job of that line,
`picking/look_ahead` whether a job with the right version goes first, `picking/placement` where to, under the cluster's
limit (`state/backpressure`). `attempts/reports` starts and ends the attempt; `attempts/retries` says what a failed
attempt leads to. tests/unit/scheduling/mutants.py lists the seams by which tests take out one mechanism at a time.
"""

RULES = 6
"""The number of the decision rules. Raise it whenever any decision could differ: a test decides
tests/golden/rules_<RULES>.jsonl again, byte for byte, and fails until the number is raised. Then make a new golden
ledger (`python -m tests.golden.rules`)."""
