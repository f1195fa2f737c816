"""Baselines as artifacts of MLflow: beside the model, under the id of the run that trained it.

The extra ``mlflow`` is needed; ``MLFLOW_TRACKING_URI`` gives the address of MLflow.
"""

from __future__ import annotations

import os
from pathlib import Path

from flask_boxkite.errors import BaselineError
from flask_boxkite.extras import install_command
from flask_boxkite.quoting import masked

__all__ = ["download", "is_artifact"]

_SCHEMES = ("runs:/", "models:/", "mlflow-artifacts:/")


def is_artifact(path: str | os.PathLike[str]) -> bool:
    """Say whether this is the URI of an artifact: ``runs:/RUN_ID/baseline.prom``, ``models:/NAME/VERSION/…``."""
    return isinstance(path, str) and path.startswith(_SCHEMES)


def download(uri: str, directory: str) -> Path:
    """Copy an artifact into a directory and return its path there.

    Raises:
        BaselineError: MLflow is not installed, cannot be reached, or has no such artifact.
    """
    try:
        from mlflow.artifacts import download_artifacts
    except ModuleNotFoundError as error:
        msg = f"'{masked(uri)}' needs MLflow. Run: {install_command('mlflow')}"
        raise BaselineError(msg, path=masked(uri)) from error
    try:
        return Path(download_artifacts(artifact_uri=uri, dst_path=directory))
    except Exception as error:  # MLflow, or the storage of its artifacts, may raise anything
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        msg = f"MLflow does not give '{masked(uri)}': {masked(reason)}. Does MLFLOW_TRACKING_URI name the run's server?"
        raise BaselineError(msg, path=masked(uri)) from error
