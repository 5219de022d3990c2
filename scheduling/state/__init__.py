"""What a pool knows: its jobs, its nodes, its clusters, who stands in which line, and how those change together.

`pool.State` holds everything; `evolve` is its only writer and calls the functions of this folder. Here is no decision:
nothing in this folder chooses a job, a node or an end.
"""
