"""Why jobs waited: each wait split into causes that sum to the whole, by the ledger's events alone.

From the same starts come attainment (`slo`) and the quality of forecasts.
"""
