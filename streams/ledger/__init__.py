"""How one pool's ledger is written and led: the writer (sans-I/O), its host, its keeper, its tail and its snapshots.

Nothing here knows Faust, and nothing here reads what outsiders wrote before `streams.door` has taken it.
"""
