"""What can be proved and explained afterwards. Audit reads; it writes nothing and decides nothing.

`ledger/` reads a pool's past; `verify/` proves that the ledger is whole and was decided by the rules; `waits/` says why
jobs waited; `as_of` shows the state of a past moment; `story` tells one job's life. A verification runs the production
code on what was recorded. An explanation reads events only, and never shows what a user wrote.
"""
