"""Where models run: the node agent, and the child process in which a model's code runs.

Here live the agent (joins a cluster, takes orders, starts child processes, reports) and `child.py`, which with
`child_gang.py` uses nothing but the standard library, because it runs in the environment of a model's version. The
rules of what a node does with an order are in `desk`, which does no I/O; threads, pipes, Kafka and the object store are
around it.
What must not be here: torch (only a version's own environment has it), SQL, and any decision about who goes next.
The model's code is not trusted: it gets no credential, and nothing that it says or prints reaches a log.
"""
