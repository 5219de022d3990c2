"""CPU workers: nodes of a cluster of kind `prepare`, which fetch, check and decode the media of jobs.

`python -m cpu_worker` is one worker. What both kinds of node are made of is `runtime/worker/`; what decodes is
`runtime/media/`; what opens a user's URL is `runtime/egress/`.
"""
