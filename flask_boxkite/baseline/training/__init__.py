"""Counting of training data, which serving never imports.

`build` counts data in memory (`memory`) or in an engine (`engine`), `stream` counts data in chunks. `options` holds the
user's decisions, `tables` and `columns` read data in any form, and `assembly` puts the counted columns together.
"""
