"""Outcomes: the truth about predictions, which comes back late, is joined to them and counted once.

`book` counts the outcomes of a model for all processes of a server, exactly: `book_file` is the layout of its file,
`journal` keeps a process that dies from leaving half an outcome, `fingerprints` is the table of the outcomes that were
counted, and `storage` holds the bytes, in a file or in memory.
"""
