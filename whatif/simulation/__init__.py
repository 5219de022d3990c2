"""One simulation of one pool: the production core, simulated nodes, and time that jumps from event to event.

Same arrivals, machines and policy, same result on any machine: there is no clock and no randomness here.
"""
