"""What can be proved and explained afterwards. Audit reads; it writes nothing and decides nothing.

`ledger/` reads a pool's past, `verify/` proves that it is whole and was decided by the rules, `waits/` says why jobs
waited, `as_of` shows a past moment, `story` tells one job's life. A verification runs the production code on what was
recorded. Explanations read events only, and no part of them shows what a user wrote.
"""
