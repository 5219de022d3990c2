"""How the ledger of one pool is written and led: the writer (sans-I/O), its host, its keeper, its tail, its snapshots.

Nothing here knows Faust. What outsiders wrote comes here only after `streams.door` has taken it.
"""
