"""Prometheus text: writing metric families, and reading samples."""
