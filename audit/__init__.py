"""What can be proved afterwards: read a ledger, verify it, tell a job's story, explain its wait, and replay it.

Here live readers of whole ledgers (`reader`, `export`), the verification (`verify`, whose parts are `conduct`, `again`,
`inbox`, `results` and `damage`; `evidence` is what others remember, `verdict` what it says), stories (`story`), the
causes of a wait (`why`, whose parts are `following`, `outages`, `contention`, `causes` and `explained`), the state at a
past moment (`as_of`; `past` reads for both from snapshots), what would have been (`what_if`), what another policy does
with the present (`shadow`; what it writes goes to `shadow_topic` and nowhere else, `shadows` reads it), both by one
`simulation`, what was set aside in `quarantine` (`quarantined`), and erasure (`erasure`).
What must not live here: anything that decides. A verification runs the production code on what was recorded; a story
reads events only, and no part of it ever shows what a user wrote.
"""
