"""What is decided: the pure core of one pool. Same inputs and times, same bytes out, on any machine.

Here live the state and its only writer (`evolve`), what an input amounts to (`judge`), what to do next (`plan`), the
one door that runs them (`decide.decide`), which ledger records count (`chain`), which orders nodes are owed
(`orders`), snapshots and invariants. Not here: clocks, randomness, I/O, logging, Kafka, SQL: whoever needs those
hosts this package.

Follow one job: `judge` accepts its submission -> `evolve` puts it into its line (`lines`) -> `plan` picks it (the
discipline in force says whose line is served, `disciplines`; `sharing` which tenant's job of it; `look_ahead` whether
one with the right version goes first) and finds its slot (`placement`) under its cluster's limit (`backpressure`) ->
`reports` starts and ends it, or `retries` says what a failed attempt leads to. The seams by which tests take one
mechanism out at a time are listed in tests/unit/scheduling/test_mutants.py.
"""

RULES = 3
"""Number of the decision rules. Raise it whenever any decision could differ: tests/golden/rules_<RULES>.jsonl is
re-decided byte for byte and fails until it is. Then make a new golden ledger (`python -m tests.golden.rules`)."""
