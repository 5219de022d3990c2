"""What is said: every record that crosses a process boundary, and nothing else.

Here live the events, inputs, orders and reports (one frozen msgspec Struct each), the lifecycle table,
the policy document, the topics and the codec. Nothing here reads a clock, draws a random number or does
I/O, and nothing here imports another package of ours: every other folder may import this one.
"""
