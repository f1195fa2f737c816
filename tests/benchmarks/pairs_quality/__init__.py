"""Pairs of variables: false alarms and power, beside what looks at all features at once."""
