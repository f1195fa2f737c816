"""Segments: false alarms of whole reports, and power where only one segment changes, beside all rows together."""
