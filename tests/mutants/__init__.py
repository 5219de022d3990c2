"""Mutants of the shell: each takes one rule out of the product's text, and one named test must go red.

`python -m tests.mutants` tries all of them in a copy of the tree (tests.mutants.run); `python -m tests.mutants WORD…`
those whose name, file or test has one of the words. `tests/unit/architecture/test_mutants.py` checks in milliseconds
that each text is still where its mutant says, and that each test is there. Mutants of the core are patches in memory
(`tests/unit/scheduling/mutants.py`, `tests/simulation/variants.py`). docs/decisions/0032 says why this is a table.
"""
