"""What every kind of node is made of: orders read, reports sent, scratch folders, child processes, the main loop.

Here is nothing of GPUs, models or media: `gpu_worker` and other kinds of node bring those. Nothing here imports the
registry.
"""
