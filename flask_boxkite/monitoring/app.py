"""The monitoring of one app: its models, and the store, the recorders and the exposition that they share."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.config import Settings
from flask_boxkite.delivery import TIMINGS, RecorderCounts, Timings
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.exposition import ExportedModel
from flask_boxkite.live.section import SectionKey
from flask_boxkite.live.store import Store
from flask_boxkite.live.windows import Shortage
from flask_boxkite.monitoring.assembly import (
    exported_model,
    exported_models,
    make_exposition,
    make_receivers,
    make_recorders,
    make_store,
)
from flask_boxkite.monitoring.functions import checked_functions, functions_of
from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.monitoring.notes import is_first_to_say, latest
from flask_boxkite.monitoring.observed_names import check_observed
from flask_boxkite.monitoring.redacted_names import warn_of_near_misses
from flask_boxkite.monitoring.watching import app_notifier
from flask_boxkite.notify.counts import NOTIFICATIONS, cell_of
from flask_boxkite.notify.message import Notification
from flask_boxkite.notify.notifier import Notifier
from flask_boxkite.notify.pace import PACE, Pace
from flask_boxkite.notify.receivers import Receiver
from flask_boxkite.outcomes.model import Found, Given, ModelOutcomes
from flask_boxkite.values.keys import key_of

if TYPE_CHECKING:
    from flask_boxkite.monitoring.findings import Finding, Level
    from flask_boxkite.monitoring.observation import Observation

__all__ = ["AppMonitor", "one_answer"]


class AppMonitor:
    """Monitors the models of one app. Safe to use from any thread, and in processes forked later.

    Attributes:
        settings: Settings of the app.
        recorders: Recorders of its records, one for each sink.
        receivers: Receivers of messages about changes of verdict.
        exposition: Its metrics.
        clock: Returns the Unix time.

    Args:
        settings: Settings of the app.
        app: Name of the app, the same in all processes of a server.
        baselines: Baseline of each model, by name; the name None stands for the name in the baseline.
        name: Name that the programmer gave the app; None for none.
        store: Home of its counts; None for the one that the settings ask for.
        timings: Pace at which its records are delivered.
        derive: Functions of derived variables by name, or by model and name.
        notify: Function that is told of changes of verdict; None for none.
        pace: Pace at which people are told.
        clock: Returns the Unix time.

    Raises:
        ConfigError: A directory that is set cannot be used, a sink or a webhook cannot work, a function is missing, or
            ``BOXKITE_VARIABLES`` does not fit the baselines.
    """

    def __init__(
        self,
        settings: Settings,
        app: str,
        baselines: Mapping[str | None, Baseline | None],
        name: str | None = None,
        store: Store | None = None,
        timings: Timings = TIMINGS,
        *,
        derive: Mapping[str, Any] | None = None,
        notify: Callable[[Notification], object] | None = None,
        pace: Pace = PACE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.clock = clock
        exported = exported_models(settings, baselines)
        warn_of_near_misses(settings.redact, baselines.values())
        self._derive = checked_functions(derive)
        self._store = store or make_store(settings, app, exported, name)
        self.recorders = make_recorders(settings, self._store, timings)
        self.receivers: Sequence[Receiver] = make_receivers(settings, notify)

        self._lock = threading.Lock()
        self._models = {model.name: self._new_model(model) for model in exported}
        has_baseline = any(model.baseline for model in exported)
        self._configured = tuple(self._models) if has_baseline else ()
        self.exposition = make_exposition(
            settings,
            lambda: [model.exported for model in self.models()],
            self._store if exported else None,  # without models there is nothing of ours to show
            self.recorders,
            self._outcomes_of,
            notifies=bool(self.receivers),
        )
        self._notifier = self._make_notifier(app, pace) if self.receivers else None

    # --- models ------------------------------------------------------------------------------------------------------

    def models(self) -> Sequence[ModelMonitor]:
        """Return all models."""
        return list(self._models.values())

    def model(self, name: str | None) -> ModelMonitor:
        """Return a model; without baselines, each name gets one without a baseline.

        Args:
            name: Name of the model; None for the only one.

        Raises:
            ConfigError: There is no such model.
        """
        self.check_model(name)
        return self.model_or_new(name)

    def model_or_new(self, name: str | None) -> ModelMonitor:
        """Return a model; one without a baseline if there is no such model."""
        with self._lock:
            if name is None and self._models and len(self._configured) <= 1:
                return next(iter(self._models.values()))
            name = name or "default"
            if name not in self._models:
                self._models[name] = self._new_model(exported_model(self.settings, None, name))
            return self._models[name]

    def _new_model(self, exported: ExportedModel) -> ModelMonitor:
        functions = functions_of(self._derive, exported.name)
        return ModelMonitor(self.settings, exported, self._store, self.recorders, functions=functions, clock=self.clock)

    def check_model(self, model: str | None) -> None:
        """Refuse the name of a model that the app does not have.

        Raises:
            ConfigError: There are baselines, but none for this model, or no model is named and there are several.
        """
        known = self._configured
        if not known or model in known or (model is None and len(known) == 1):
            return

        if len(known) == 1:
            msg = (
                f"'BOXKITE_BASELINE' has only the model {known[0]!r}, not {model!r}. "
                f"Set it to a mapping, such as {{{model!r}: path}}."
            )
            raise ConfigError(msg, key="BOXKITE_BASELINE")
        fact = "no model is named" if model is None else f"there is no model {model!r}"
        msg = f"'BOXKITE_BASELINE' has several models and {fact}. Known: {', '.join(map(repr, known))}."
        raise ConfigError(msg, key="BOXKITE_BASELINE")

    def check_segments(self, model: str | None, names: Collection[str]) -> None:
        """Refuse names of values that a model's baseline does not observe; a model that is not there has none.

        Raises:
            ConfigError: The model's baseline has no such variable.
        """
        if model is None and len(self._configured) > 1:
            return
        for item in self._models.values() if model is None else filter(None, [self._models.get(model)]):
            check_observed(item.baseline, item.model, names)

    # --- outcomes ----------------------------------------------------------------------------------------------------

    def _outcomes_of(self, key: SectionKey) -> NDArray[np.int64] | None:
        """Return the counts of the outcomes of the model with that key; None if it has none.

        Raises:
            OSError: They cannot be read just now.
        """
        for model in self.models():
            if model.exported.key == key and model.outcomes is not None:
                return model.outcomes.totals().cells
        return None

    def log_outcome(
        self,
        prediction_id: str | None,
        actual: Any,
        *,
        predicted: Any = None,
        key: str | int | None = None,
        model: str | None = None,
    ) -> bool:
        """Count the value that came true for a prediction, as `Boxkite.log_outcome` does; return whether it was."""
        if not self.settings.enabled:
            return False
        text = None if key is None else key_of(key) or str(key)
        return self.log_outcomes([Given(prediction_id, actual, predicted, text)], model)[0] is None

    def log_outcomes(self, given: Sequence[Given], model: str | None = None) -> list[str | None]:
        """Count outcomes; return, for each, the reason for which it was not counted (`naming.REJECTIONS`), or None.

        An outcome of several models, by key, is counted if one of them counts it. `judge_outcomes` explains the rest.
        """
        return [one_answer(list(answers.values())) for answers in self.judge_outcomes(given, model)]

    def judge_outcomes(self, given: Sequence[Given], model: str | None = None) -> list[dict[str, str | None]]:
        """Count outcomes; return, for each, the answer of each model that it is for: None, or a reason.

        Args:
            given: The outcomes.
            model: Name of the model; None for the one that made the id, or for all that know the key.

        Raises:
            BoxkiteError: The baseline has no actual values to compare with.
            ConfigError: There is no such model.
        """
        models = [self.model(model)] if model is not None else self.models()
        judged = [(item, item.outcomes) for item in models if item.outcomes is not None]
        if not judged:
            msg = (
                "Outcomes need a baseline with actual values to compare with. Write one with "
                "export_text(..., actual=...)."
            )
            raise BoxkiteError(msg)

        # An outcome by key may be of several models, so it may have several answers.
        each = [outcomes for _, outcomes in judged]
        batches: dict[int, list[tuple[int, Given, Found | None]]] = {}
        for number, item in enumerate(given):
            for place, found in _found(item, each):
                batches.setdefault(place, []).append((number, item, found))
        answers: list[dict[str, str | None]] = [{} for _ in given]
        for place, batch in batches.items():
            monitor, outcomes = judged[place]
            read = [monitor.with_row(item) for _, item, _ in batch]
            for (number, *_), answer in zip(batch, outcomes.log(read, [found for *_, found in batch]), strict=True):
                answers[number][monitor.model] = answer
        return answers

    # --- notifications -----------------------------------------------------------------------------------------------

    def _make_notifier(self, app: str, pace: Pace) -> Notifier:
        self._store.block(NOTIFICATIONS)  # so that other processes know of it
        notifier = app_notifier(self, self.settings.name or app, pace)
        self._store.on_slot = notifier.wake
        return notifier

    def wake_notifier(self) -> None:
        """See that this process looks after notifications, if there are any to send; waits for nothing."""
        if self._notifier is not None:
            self._notifier.wake()

    def count_notification(self, channel: str, result: str) -> None:
        """Count a message, where all processes see it."""
        block = self._store.block(NOTIFICATIONS)
        with block.lock:
            block.cells[cell_of(channel, result)] += 1
        self._store.share()

    @property
    def owner(self) -> str:
        """Hash of the models of the app, which distinguishes apps of one name."""
        return self._store.owner

    def notifier_directory(self) -> Path | None:
        """Return the directory in which processes agree on a notifier; None if each is its own.

        Raises:
            OSError: It cannot be used just now, so that this process cannot know.
        """
        return self._store.opened_directory()

    def close(self) -> None:
        """Deliver waiting records, within the shutdown timeout, and stop telling people."""
        if self._notifier is not None:
            self._notifier.close()
        self.recorders.close()

    # --- its server --------------------------------------------------------------------------------------------------

    def check_server(self, environ: Mapping[str, Any]) -> bool:
        """Log once which setting helps where a server's processes do not share counts, or end while records wait.

        Args:
            environ: Environment of a WSGI request.

        Returns:
            Whether `hand_over` must be called when the request is answered, since the process ends then.
        """
        self._store.check_server(environ)
        return self.recorders.check_server(environ)

    def hand_over(self) -> None:
        """Deliver waiting records, in the time that healthy sinks need: this process ends without exit hooks."""
        self.recorders.hand_over()

    def is_first_to_say(self) -> bool:
        """Say whether no other process of this server has asked this question."""
        return is_first_to_say(self._store.directory(), repr(self._store.server))

    # --- reading -----------------------------------------------------------------------------------------------------

    def export_http(
        self, params: Mapping[str, Sequence[str]] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, str]:
        """Return the text that ``/metrics`` serves, and its content type.

        Args:
            params: Query parameters; ``name[]`` lists the families or samples to return.
            headers: Request headers; ``Accept`` chooses Prometheus text or OpenMetrics.
        """
        names = (params or {}).get("name[]")
        accept = next((value for name, value in (headers or {}).items() if name.lower() == "accept"), None)
        return self.exposition.export(accept, frozenset(names) if names else None)

    def sinks(self) -> Mapping[str, RecorderCounts]:
        """Return the counts of records in all processes, by sink."""
        self._store.tidy()
        reading = self._store.read()
        names = [recorder.sink.name for recorder in self.recorders]
        return {name: RecorderCounts.of(reading.sink_cells(name).tolist()) for name in names}

    def state_directory(self) -> Path | None:
        """Return the directory in which processes count together, made if missing; None if each counts alone."""
        return self._store.directory()

    def _shortage(self) -> Shortage | None:
        """Return the room that the time windows of a model lack; None if none lacks any."""
        for model in self.models():
            with contextlib.suppress(OSError):  # that it cannot be read is said elsewhere
                if (shortage := self._store.windows(model.exported.section).shortage()) is not None:
                    return shortage
        return None

    def findings(
        self,
        observations: Sequence[Observation],
        sinks: Mapping[str, RecorderCounts],
        *,
        is_open: bool,
        has_others: bool | None,
        oldest_seconds: float = math.inf,
        quotes_values: bool = False,
    ) -> list[Finding]:
        """Return the problems and hints of this deployment, problems first.

        Args:
            observations: Observations of its models, which say how many requests were not captured.
            sinks: Counts of its records, as from `sinks`.
            is_open: Whether everybody may see the drift page.
            has_others: Whether the server has other processes than this one; None if that is not known.
            oldest_seconds: Age above which a note on a capture error is ignored.
            quotes_values: Whether to quote values of requests that could not be read, which only operators may see.
        """
        from flask_boxkite.monitoring.findings import Deployment
        from flask_boxkite.values.unread import listed_forms, listed_values

        models = self.models()
        if has_others is None:
            alone, ambiguous = self._store.directory() is None, self._store.is_ambiguous
        else:
            alone, ambiguous = (
                has_others and self._store.is_alone(),
                self._store.is_ambiguous and not self._store.is_alone(),
            )
        level: Level = "hint" if has_others is None else "problem"

        return Deployment(
            self.settings,
            models={model.model: model.baseline is not None for model in models},
            sinks=sinks,
            capture_errors=sum((Counter(observation.capture_errors) for observation in observations), Counter()),
            is_open=is_open,
            alone=level if alone else None,
            shortage=self._shortage(),
            notes=latest((model.notes.read() for model in models), self.clock(), oldest_seconds),
            ambiguous=level if ambiguous else None,
            has_actual=any(model.outcomes is not None for model in models),
            unreadable={seen.model: names for seen in observations if (names := seen.unreadable)},
            invalid={
                seen.model: list(seen.invalid_shares(listed_values if quotes_values else listed_forms))
                for seen in observations
            },
        ).findings()


def _found(given: Given, models: Sequence[ModelOutcomes]) -> list[tuple[int, Found | None]]:
    """Return the places of the models that an outcome is for, each with the prediction, if it is known.

    One model made an id, but the actual value of a key is true for all models that answered it; except with
    *predicted*, which is the output of one. Outcomes of an unknown prediction are for the first model.
    """
    if len(models) == 1:
        return [(0, models[0].find(given))]
    text: Any = given.prediction_id
    if isinstance(text, str):
        for look in (ModelOutcomes.opened, ModelOutcomes.remembered):
            for place, outcomes in enumerate(models):
                if (found := look(outcomes, text)) is not None:
                    return [(place, found)]
    known: list[tuple[int, Found | None]] = []
    if given.key is not None:
        of_key = ((place, outcomes.of_key(given.key)) for place, outcomes in enumerate(models))
        known = [(place, found) for place, found in of_key if found is not None]
    return (known if given.predicted is None else known[:1]) or [(0, None)]


def one_answer(answers: Sequence[str | None]) -> str | None:
    """Return the answer for an outcome of several models: it counts if one of them counts it.

    If one could not be written, it must be sent again; the others take it for repeated then.
    """
    return "failed" if "failed" in answers else None if None in answers else answers[0]
