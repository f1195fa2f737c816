"""Counting of training data, which serving never imports.

`build` counts data in memory (`memory`) or in an engine (`engine`), `stream` counts data in chunks. `options` holds the
user's decisions, `data` reads frames, and `assembly` puts the columns together.
"""
