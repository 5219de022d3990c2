"""What holds a child off the node that started it, layer by layer: each module applies one to the process that runs it.

`enter.py` loads these files by path, before the child's own program starts; `canary.py` tries what they hold off. They
import the standard library only. Each takes what it needs from the plan (`runtime.worker.confinement`), and raises
OSError when the kernel refuses: then the child does not start.
"""
