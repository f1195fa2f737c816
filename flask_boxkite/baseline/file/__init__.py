"""Baseline files: written, and read back with every check; those of boxkite 0.0.5 too."""
