"""Why jobs waited: each wait is split into causes that sum to the whole, by the ledger's events alone.

`why` finds the wait of one job, `sentences` puts it into words. `starts` reads every job's start: attainment (`slo`)
and the quality of forecasts (`forecasts`) are counted from the starts."""
