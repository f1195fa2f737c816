"""Monitor machine-learning models that are served by Flask: live distributions, drift, and every prediction logged."""

from flask_boxkite.baseline import Baseline
from flask_boxkite.errors import BaselineError, BinMismatchError, BoxkiteError, ConfigError
from flask_boxkite.service import ModelMonitoringService
from flask_boxkite.web.extension import Boxkite
from flask_boxkite.web.middleware import BoxkiteMiddleware

__all__ = [
    "Baseline",
    "BaselineError",
    "BinMismatchError",
    "Boxkite",
    "BoxkiteError",
    "BoxkiteMiddleware",
    "ConfigError",
    "ModelMonitoringService",
]

__version__ = "0.2.0"
