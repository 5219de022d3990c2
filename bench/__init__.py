"""Benchmarks. Three programs live here, each with a report in docs/:

- `make bench`: Headrace beside its peers, in one run on one machine, medians of at least three (`__main__`).
- `make bench-policies`: every queueing discipline on every load, simulated (`policies`).
- `make bench-scale`: a million jobs on 9,000 GPUs, simulated (`scale`).

`python -m bench.media_preparation` prints what the preparation of media costs beside plain FFmpeg.

The product never imports this folder: what a benchmark needs of the product comes through the product's own doors."""
