"""One simulation of one pool: the production core, simulated nodes, and time that jumps from event to event.

The same arrivals, machines and policy give the same result on any computer: there is no clock and no randomness here.
`simulation` decides and keeps time; `arrival_feed` submits jobs; `machine_moves` lets machines come and go; `site` and
`nodes` run what is dispatched.
"""
