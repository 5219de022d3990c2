"""What holds a child off the agent, layer by layer: each module applies one to the process that runs it.

`enter.py` loads these files by path, before the version's own interpreter starts. They import the standard library
only. Each takes what it needs from the plan (`gpu_worker.child.confinement`), and raises OSError when the kernel
refuses: then the child does not start.
"""
