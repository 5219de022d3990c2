"""What a server around Headrace must do for the shell to work: cases that run on the twin and on the real server alike.

Where the two differ the twin is wrong. `tests/unit/twin` runs the cases on the twins, `tests/integration` on the real
servers.
"""
