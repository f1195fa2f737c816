"""Prometheus text: families rendered, and samples read."""
