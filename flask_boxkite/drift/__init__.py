"""Drift, the distance of production from training: statistics, verdicts, and the report over all variables."""
