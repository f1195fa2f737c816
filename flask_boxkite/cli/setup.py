"""The set-up of an app or of an environment, and the outcomes of checking it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.blindness import blind_spots
from flask_boxkite.cli.group import listed
from flask_boxkite.cli.probes import Outcome
from flask_boxkite.cli.routes import probe_routes
from flask_boxkite.config import Settings
from flask_boxkite.errors import ConfigError
from flask_boxkite.monitoring.assembly import load_baselines, model_name
from flask_boxkite.monitoring.findings import Deployment, Finding
from flask_boxkite.monitoring.redacted_names import near_misses, other_names
from flask_boxkite.suggestion import counted
from flask_boxkite.web.access import PageAccess
from flask_boxkite.web.monitored_app import monitored_app

__all__ = ["Setup", "not_seen", "outcomes", "setup_of_app", "setup_of_environment"]

_PREFIX = "FLASK"


@dataclass(frozen=True)
class Setup:
    """Everything that is known about a set-up.

    Attributes:
        source: Origin of the set-up, as a sentence.
        settings: The settings.
        models: Baseline of each model; None for a model without one.
        findings: Problems and hints that follow from settings and counts.
        directory: Directory where processes count together; None if each counts in its memory, or there is no app.
        route_problems: Problems with the routes of the app, each with its remedy.
        app: The app; None if there is none.
        has_predicted: Whether a route of the app leads to a decorated view.
    """

    source: str
    settings: Settings
    models: Mapping[str, Baseline | None]
    findings: Sequence[Finding]
    directory: Path | None = None
    route_problems: Sequence[str] = ()
    app: Flask | None = None
    has_predicted: bool = True


def setup_of_app(app: Flask) -> Setup:
    """Return the set-up of an app.

    Raises:
        ConfigError: The app has no monitor.
        BoxkiteError: The counts cannot be read.
    """
    state = monitored_app(app)
    if state is None:
        msg = f"App {app.name!r} has no Boxkite monitor. Did you forget to call 'init_app'?"
        raise ConfigError(msg)

    monitor, models = state.monitor, state.monitor.models()
    observations = [model.observe() for model in models]
    return Setup(
        f"App {app.name!r} has a monitor, whose settings are valid.",
        state.settings,
        {model.model: model.baseline for model in models},
        monitor.findings(
            observations, monitor.sinks(), is_open=state.access.is_open, has_others=None, quotes_values=True
        ),
        directory=monitor.state_directory(),
        route_problems=list(state.route_problems(app)) if state.settings.enabled else (),
        app=app,
        has_predicted=state.has_predicted(app),
    )


def setup_of_environment() -> Setup:
    """Return the set-up that ``FLASK_BOXKITE_…`` gives to any app that calls ``config.from_prefixed_env()``.

    Raises:
        ConfigError: A setting is wrong.
        BaselineError: A baseline is missing or invalid.
    """
    config = Flask("check").config
    config.from_prefixed_env(_PREFIX)
    settings = Settings.from_mapping(config)
    names = sorted(f"{_PREFIX}_{key}" for key in config if key.startswith("BOXKITE_"))
    source = f"There is no app; the environment sets {', '.join(names) or 'nothing'}."

    baselines = load_baselines(settings.baseline)
    models = {model_name(baseline, name): baseline for name, baseline in baselines.items()}
    deployment = Deployment(
        settings,
        {name: baseline is not None for name, baseline in models.items()},
        is_open=PageAccess.of(config, settings).is_open,
        has_actual=any(baseline is not None and baseline.validation is not None for baseline in models.values()),
    )
    return Setup(source, settings, models, deployment.findings())


def outcomes(setup: Setup) -> Iterator[Outcome]:
    """Yield the outcomes of checking a set-up, including the answers of its app."""
    yield Outcome("ok", setup.source)
    settings = setup.settings
    if not settings.enabled:
        yield Outcome("hint", "Monitoring is off.", "Set 'BOXKITE_ENABLED' to true.")
        return

    for problem in setup.route_problems:
        yield Outcome("problem", problem)
    if not setup.has_predicted:
        remedy = "Write it below the route of the view that predicts, unless that calls monitor.log_prediction()."
        yield Outcome("hint", "No view of the app has '@monitor.predict', so none is counted by itself.", remedy)
    for model, baseline in setup.models.items():
        if baseline is not None:
            yield _of_baseline(model, baseline)
            yield from _of_blind_spots(model, baseline)
    yield from _of_redaction(settings, setup.models.values())
    if setup.directory is not None:
        # An automatic name contains the server's process, which is not this one.
        where = f"in '{setup.directory}'" if settings.state_dir else f"below '{setup.directory.parent}'"
        yield Outcome("ok", f"Processes of a server count together {where}.")
    if setup.app is not None:
        yield from probe_routes(setup.app)
    elif settings.metrics_path is not None:
        yield Outcome("ok", f"Metrics will be at '{settings.metrics_path}'.")

    for finding in setup.findings:
        yield Outcome(*finding)


def not_seen(setup: Setup) -> str:
    """Say that the requests of a running server were not looked at, and the remedy; empty if they were."""
    if not setup.settings.enabled or (setup.app is not None and setup.settings.state_dir is not None):
        return ""
    how = "Name the app (--app)" if setup.app is None else "Give it and this command the same 'BOXKITE_STATE_DIR'"
    return f"The requests of a running server were not looked at. {how}, or run: flask boxkite drift --url URL"


def _of_baseline(model: str, baseline: Baseline) -> Outcome:
    sides = ", ".join(
        counted(number, word)
        for number, word in (
            (len(baseline.features), "feature"),
            (len(baseline.outputs), "output"),
            (baseline.rows, "training row"),
        )
    )
    if baseline.model != model:
        what = f"The baseline of model {model!r} says that it is of {baseline.model!r}: {sides}."
        return Outcome("hint", what, "Is it the right file? Else export it with this model's name.")
    if not baseline.outputs:
        what = f"The baseline of model {model!r} has no output, so drift of its output is not seen: {sides}."
        return Outcome("hint", what, "Export it with 'inference', or --output-column.")

    return Outcome("ok", f"Model {model!r} has a baseline: {sides}.")


def _of_redaction(settings: Settings, baselines: Iterable[Baseline | None]) -> Iterator[Outcome]:
    """Yield the redacted names that are no variables: hints where a variable may be meant, else one note."""
    others = other_names(settings.redact, baselines)
    for what, remedy in near_misses(others):
        yield Outcome("hint", what, remedy)
    if rest := [name for name, meant in others.items() if not meant]:
        what = f"'BOXKITE_REDACT' names {listed(list(map(repr, rest)))}: no feature or output, but perhaps a field"
        yield Outcome("ok", f"{what} of the requests.")


def _of_blind_spots(model: str, baseline: Baseline) -> Iterator[Outcome]:
    """Yield the variables whose changes may not all be visible."""
    for spot, names in blind_spots(baseline.distributions).items():
        what = f"Model {model!r}, {listed(list(map(repr, names)))}: {spot}."
        yield Outcome(
            "hint", what, "Does the model need it? If not, leave it out (exclude); or train with coarser values."
        )
