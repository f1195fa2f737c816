"""A chaos run: everything around a server fails at random moments, under load, while its books are audited.

`world` holds what runs, `faults` what goes wrong with it, `audit` what must be true anyway, `run` the rounds.
"""
