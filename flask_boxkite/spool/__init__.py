"""Records on disk, before their response leaves and until the sink has them.

    {spool_dir}/{sink}-{uuid}/owner         of one process, locked while it lives; says whose records these are
                             /{number}.seg  records in the order in which they came, and how many the sink has
                             /spare-{uuid}  the next segment, made ready

Written by copying into mapped memory, which survives the process and takes 2 µs; nothing is synced to the disk for each
record, so what was written in the last seconds before a loss of power may be lost.
"""

from flask_boxkite.spool.adoption import find_dead
from flask_boxkite.spool.directory import new_directory, spool_bytes, waiting_records
from flask_boxkite.spool.log import Log, SpoolFullError
from flask_boxkite.spool.orphan import DeadLog
from flask_boxkite.spool.owner import Owner
from flask_boxkite.spool.segment import Taken

__all__ = [
    "DeadLog",
    "Log",
    "Owner",
    "SpoolFullError",
    "Taken",
    "find_dead",
    "new_directory",
    "spool_bytes",
    "waiting_records",
]
