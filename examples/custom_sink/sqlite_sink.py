"""A sink of one's own: every prediction is a row in a SQLite database."""

import json
import sqlite3
from contextlib import closing, suppress

TABLE = """
CREATE TABLE IF NOT EXISTS predictions (
    entity_id  TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    model      TEXT NOT NULL,
    output     TEXT,
    record     TEXT NOT NULL
) WITHOUT ROWID
"""


class SQLiteSink:
    """Stores records, each once, in as many processes as there are.

    A connection lives for one batch, so processes, threads and forks never share one.
    """

    name = "sqlite"  # the label `sink` of its metrics

    def __init__(self, path):
        self._path = str(path)
        with self._connected() as connection:
            connection.execute(TABLE)
            # Readers and a writer must not wait for each other. The mode is permanent: one process sets it, and SQLite
            # refuses the others that try at the same time.
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")

    def emit_batch(self, records):
        """Store all of a batch or, if this raises, nothing; a batch that comes again is not stored again."""
        rows = [
            (item["entity_id"], item["created_at"], item["model"], json.dumps(item["output"]), json.dumps(item))
            for item in records
        ]
        try:
            with self._connected() as connection, connection:  # the second commits, or rolls back
                connection.executemany("INSERT OR IGNORE INTO predictions VALUES (?, ?, ?, ?, ?)", rows)
        except sqlite3.OperationalError as error:  # locked, or the disk is full
            # OSError means that the database is at fault, not the records: they wait, and none is dropped.
            raise OSError(f"the database does not take records: {error}") from error

    def _connected(self):
        return closing(sqlite3.connect(self._path, timeout=5))
