"""What every kind of node is made of: orders read, reports sent, scratch folders, child processes, the main loop.

GPUs, models and media have no place here: `gpu_worker` and other kinds of node bring them. Nothing here imports the
registry.
"""
