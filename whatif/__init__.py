"""What would have been: recorded or given arrivals, simulated under another policy, limit or capacity.

`simulation/` drives the production core with simulated nodes; `shadow/` follows the live ledger with a candidate
policy. Nothing here changes a pool: a shadow writes its own topic `shadow` and nowhere else.
"""
