"""The `headrace` command: noun then verb, one file per noun.

Here lives what a person types and sees: options, tables, progress bars, exit codes (0 done, 1 failed, 2 wrong use).
No rule of the product lives here: each verb calls the HTTP API or the package that owns the noun.
"""
