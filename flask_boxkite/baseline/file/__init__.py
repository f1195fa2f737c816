"""Baseline files, of this package and of boxkite 0.0.5: written, read back and checked."""
