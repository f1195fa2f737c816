"""Records on disk, from before their response leaves until the sink has them.

    {spool_dir}/{sink}-{uuid}/owner         describes the process that wrote the records, and is locked while it lives
                             /{number}.seg  a segment: records, oldest first, and how many the sink has
                             /spare-{uuid}  the next segment, made ready

A record is copied into mapped memory, which survives the process and takes 2 µs. It is not synced to the disk, so a
loss of power may cost the records of the last seconds.
"""

from flask_boxkite.spool.adoption import ServerCounts, find_orphan
from flask_boxkite.spool.directory import new_directory, spool_bytes, waiting_records
from flask_boxkite.spool.log import LARGEST_SEGMENT, Log, SpoolFullError
from flask_boxkite.spool.orphan import OrphanLog
from flask_boxkite.spool.owner import Owner
from flask_boxkite.spool.segment import Taken

__all__ = [
    "LARGEST_SEGMENT",
    "Log",
    "OrphanLog",
    "Owner",
    "ServerCounts",
    "SpoolFullError",
    "Taken",
    "find_orphan",
    "new_directory",
    "spool_bytes",
    "waiting_records",
]
