"""What is decided: the pure core of one pool. Same inputs and times, same bytes out, on any machine.

Here live the state and its only writer (`evolve`), what an input amounts to (`judge`), what to do next (`plan`), the
one door that runs them (`decide.decide`), which ledger records count (`chain`), which orders nodes are owed
(`orders`), snapshots and invariants. Not here: clocks, randomness, I/O, logging, Kafka, SQL: whoever needs those
hosts this package.

Follow one job: `judge.submission` accepts it -> `evolve` puts it into its line -> `plan.dispatches` picks it
(`priority`), finds its slot (`placement`) under the cluster's limit (`backpressure`) -> `judge.node_report` starts and
ends it, or `retries` says what a failed attempt leads to.
"""

RULES = 1
"""Number of the decision rules. Raise it whenever any decision could differ: tests/golden/rules_<RULES>.jsonl is
re-decided byte for byte and fails until it is. Then make a new golden ledger (`python -m tests.golden.rules`)."""
