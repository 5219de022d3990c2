"""Proving a ledger: hashes, decisions made again, a second book kept by other code, and outside witnesses.

The second book shares no code with `scheduling`, so each sees a fault of the other. `verification` begins here.
"""
