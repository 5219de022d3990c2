"""Running a model: slots, their child processes, and the program that runs in a child.

`run_model.py` and `join_gang.py` run in the version's own environment. They import only the standard library, torch
and the model, because nothing of ours is installed there.
"""
