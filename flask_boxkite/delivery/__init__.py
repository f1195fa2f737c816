"""Delivery of packed records to their sink: the queue, the thread that ships them, and the counts of all records."""

from flask_boxkite.delivery.counts import RecorderCounts, records_section
from flask_boxkite.delivery.recorder import Recorder, Spooling
from flask_boxkite.delivery.recorders import Recorders
from flask_boxkite.delivery.timings import TIMINGS, Timings

__all__ = ["TIMINGS", "Recorder", "RecorderCounts", "Recorders", "Spooling", "Timings", "records_section"]
