"""Which orders a CPU worker obeys, what it does then, and what it says of a preparation. Pure: no I/O, no clock, no
threads.

The agent carries out the actions that these rules answer. Of ours, the rules import `contract` and
`runtime.worker.rules` only.
"""
