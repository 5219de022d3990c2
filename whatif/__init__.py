"""What would have been: recorded or given arrivals, simulated under another policy, limit or capacity.

`recorded` reads arrivals from a ledger and `traces` from files; `simulation/` drives the production core with simulated
nodes; `compare` puts two simulations side by side, `diff` and `plot` show the comparison; `shadow/` follows the live
ledger with a candidate policy. Nothing here changes a pool: a shadow writes to its own topic `shadow` and nowhere else.
"""
