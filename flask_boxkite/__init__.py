"""Monitor machine-learning models that are served by Flask."""

__version__ = "0.1.0"
