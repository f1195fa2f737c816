"""Training data counted: what serving never imports.

`build` counts what lies in memory (`memory`) or in an engine (`engine`), `stream` what comes in chunks; `options` holds
what the user decided, `data` reads frames, and `assembly` puts the columns together.
"""
