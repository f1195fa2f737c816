"""The parts of an app's monitoring, made from its settings."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.config import DEFAULT_BASELINE_PATH, Settings
from flask_boxkite.delivery import TIMINGS, Recorder, Recorders, Spooling, Timings
from flask_boxkite.errors import ConfigError
from flask_boxkite.exposition import ExportedModel, Exposition
from flask_boxkite.live.section import SectionKey
from flask_boxkite.live.state_directory import StateDirectory
from flask_boxkite.live.store import Store
from flask_boxkite.monitoring.notes import is_first_to_say
from flask_boxkite.monitoring.policies import judged_baselines
from flask_boxkite.notify.message import Notification
from flask_boxkite.notify.receivers import FunctionReceiver, Receiver, WebhookReceiver
from flask_boxkite.sinks import make_sinks
from flask_boxkite.spool import waiting_records
from flask_boxkite.system.locks import can_lock
from flask_boxkite.system.permissions import unwritable

__all__ = [
    "exported_model",
    "exported_models",
    "load_baseline",
    "load_baselines",
    "make_exposition",
    "make_receivers",
    "make_recorders",
    "make_store",
    "make_webhook",
]

logger = logging.getLogger("flask_boxkite")


def load_baselines(setting: Any) -> dict[str | None, Baseline | None]:
    """Return the baseline of each model; of a single one, which says itself whose it is, under None.

    Args:
        setting: Value of ``BOXKITE_BASELINE``.

    Raises:
        BaselineError: One is missing or invalid.
        ConfigError: They are given in another way than a path, a `Baseline` or a mapping of model names to those.
    """
    if not isinstance(setting, Mapping):
        return {None: load_baseline(setting)}
    if not setting or not all(isinstance(name, str) and name for name in setting):
        msg = f"'BOXKITE_BASELINE' must name at least one model, each by a text, got {dict(setting)!r}."
        raise ConfigError(msg, key="BOXKITE_BASELINE")
    return {name: load_baseline(baseline) for name, baseline in setting.items()}


def load_baseline(
    baseline: Baseline | str | os.PathLike[str] | None,
    default_path: str | os.PathLike[str] = DEFAULT_BASELINE_PATH,
) -> Baseline | None:
    """Return the baseline; only the file at the default path may be absent, of which a warning tells.

    Args:
        baseline: The baseline or its path; None for the file at the default path.
        default_path: Path of the baseline if none is named.

    Raises:
        BaselineError: It is missing or invalid.
        ConfigError: It is of another type.
    """
    if isinstance(baseline, Baseline):
        return baseline
    if baseline is None:
        if not Path(default_path).exists():
            logger.warning(
                "There is no baseline at '%s': predictions are logged and requests counted, but no distributions. "
                "Write one with ModelMonitoringService.export_text() and set 'BOXKITE_BASELINE' to its path.",
                default_path,
            )
            return None
        baseline = default_path

    if not isinstance(baseline, (str, os.PathLike)):
        msg = f"'BOXKITE_BASELINE' must be a path, a Baseline, or a mapping of model names to those, got {baseline!r}."
        raise ConfigError(msg, key="BOXKITE_BASELINE")
    return Baseline.load(baseline)


def model_name(baseline: Baseline | None, name: str | None) -> str:
    """Return the name of a model; without a name of its own, the name in its baseline."""
    return name or (baseline.model if baseline else "default")


def exported_model(settings: Settings, baseline: Baseline | None, model: str | None) -> ExportedModel:
    """Return a model as metrics show it."""
    return ExportedModel(model_name(baseline, model), baseline, settings.drift_alpha)


def exported_models(settings: Settings, baselines: Mapping[str | None, Baseline | None]) -> list[ExportedModel]:
    """Return the models of an app as metrics show them, with their policies.

    Args:
        settings: Settings.
        baselines: Baseline of each model, by name; the name None stands for the name in the baseline.

    Raises:
        ConfigError: ``BOXKITE_VARIABLES`` does not fit the baselines.
    """
    named = {model_name(baseline, model): baseline for model, baseline in baselines.items()}
    judged = judged_baselines(settings.variables, named)
    return [exported_model(settings, baseline, name) for name, baseline in judged.items()]


def make_store(settings: Settings, app: str, models: Iterable[ExportedModel], name: str | None = None) -> Store:
    """Build the home of an app's counts; nothing is made on disk before the first prediction.

    Args:
        settings: Settings, which may name a directory and the service.
        app: A name for the app, the same in all processes of a server.
        models: Models that it monitors; they distinguish it from other apps of its name.
        name: The name that a programmer gave it; None for none.

    Raises:
        ConfigError: The directory that is set cannot be used.
    """
    if not settings.enabled:
        return Store(None)

    directory = StateDirectory(
        "/".join(filter(None, [settings.name, name or app])),
        replica=settings.pod_name,
        explicit=settings.state_dir,
        environ=os.environ,
        waiting_records=waiting_records,
        monitored=[model.key for model in models],
        is_named=bool(settings.name or name),
    )
    return Store(directory)


def make_recorders(settings: Settings, store: Store, timings: Timings = TIMINGS) -> Recorders:
    """Build a recorder for each sink that is set.

    Raises:
        ConfigError: A sink, or the spool, cannot work.
    """
    options: dict[str, Any] = {
        "max_bytes": settings.queue_bytes,
        "shutdown_timeout": settings.shutdown_timeout,
        "timings": timings,
    }
    if settings.spool_dir is not None:
        options["spooling"] = Spooling(_checked_spool(settings.spool_dir), settings.spool_bytes)
    known_store = weakref.ref(store)

    def is_first(topic: str) -> bool:
        store = known_store()
        return store is None or is_first_to_say(store.directory(), repr(store.server), topic)

    recorders = Recorders([Recorder(sink, store, **options) for sink in make_sinks(settings, is_first)])
    # The app holds the recorders; deliveries that go on after its end do not hold its store.
    weakref.finalize(recorders, store.release).atexit = False
    return recorders


def make_receivers(settings: Settings, notify: Callable[[Notification], object] | None) -> list[Receiver]:
    """Build the receivers of notifications that the settings and a programmer ask for.

    Raises:
        ConfigError: The webhook takes none of our formats, or *notify* cannot be called.
    """
    if notify is not None and not callable(notify):
        msg = f"'notify' must be a function that takes a notification, got {notify!r}."
        raise ConfigError(msg)
    if not settings.enabled:
        return []
    webhook = make_webhook(settings)
    receivers: list[Receiver] = [] if webhook is None else [webhook]
    return [*receivers, FunctionReceiver(notify)] if notify is not None else receivers


def make_webhook(settings: Settings) -> WebhookReceiver | None:
    """Build the webhook that is set; None if none is.

    Raises:
        ConfigError: It takes none of our formats.
    """
    if settings.webhook_url is None:
        return None
    webhook = WebhookReceiver(settings.webhook_url, settings.webhook_format)
    if not webhook.is_usable:
        msg = "'BOXKITE_WEBHOOK_URL' is an address of Discord, which takes our form below '/slack'. Append that."
        raise ConfigError(msg, key="BOXKITE_WEBHOOK_URL")
    return webhook


def _checked_spool(directory: str) -> Path:
    """Return the directory of the spool; it is made later, by the process that writes to it.

    Raises:
        ConfigError: It cannot be made or written, or this system cannot have one.
    """
    path = Path(directory).absolute()
    if not can_lock:
        msg = "'BOXKITE_SPOOL_DIR' needs file locks as Linux and macOS have them. Leave it out on this system."
        raise ConfigError(msg, key="BOXKITE_SPOOL_DIR")
    if (obstacle := unwritable(path)) is not None:
        msg = f"'BOXKITE_SPOOL_DIR': cannot write to '{obstacle}'. Name a directory on a local disk of this user."
        raise ConfigError(msg, key="BOXKITE_SPOOL_DIR")
    return path


def make_exposition(
    settings: Settings,
    models: Callable[[], Sequence[ExportedModel]],
    store: Store | None,
    recorders: Recorders,
    outcomes: Callable[[SectionKey], NDArray[np.int64] | None],
    *,
    notifies: bool = False,
) -> Exposition:
    """Build the exposition that the settings ask for.

    Args:
        settings: Settings.
        models: Returns the models.
        store: Store of all counts; None if nothing is counted.
        recorders: Recorders of this process.
        outcomes: Returns the counts of a model's outcomes; None for a model that has none here.
        notifies: Whether the app sends notifications.
    """
    return Exposition(
        models,
        store,
        recorders=recorders,
        alpha=settings.drift_alpha,
        names=settings.metric_names,
        with_baseline=settings.export_baseline,
        with_bins=settings.export_bins,
        outcomes=outcomes,
        notifies=notifies,
    )
