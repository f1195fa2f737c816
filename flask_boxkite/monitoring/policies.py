"""The policies of ``BOXKITE_VARIABLES``, laid over the baselines' own when an app is set up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from flask_boxkite.baseline import Baseline
from flask_boxkite.errors import BaselineError, ConfigError
from flask_boxkite.policies import Policy
from flask_boxkite.suggestion import suggestion

__all__ = ["KEY", "judged_baselines"]

KEY = "BOXKITE_VARIABLES"


def judged_baselines(
    variables: Mapping[str | None, tuple[Policy, ...]], baselines: Mapping[str, Baseline | None]
) -> dict[str, Baseline | None]:
    """Return the baselines with the policies of the setting.

    Args:
        variables: Policies by model; under None for all models, each as far as it has the variables.
        baselines: Baselines by model; None for a model without one, to which no policy applies.

    Raises:
        ConfigError: The setting names an unknown model or variable, or its policies do not go together.
    """
    known = {name: baseline for name, baseline in baselines.items() if baseline is not None}
    if not known:  # the log says that there is no baseline
        return dict(baselines)
    common = variables.get(None, ())
    _check_common(common, list(known.values()))
    for name in variables:
        if name is not None and name not in baselines:
            hint = suggestion(name, list(baselines))
            _fail(f"names the model {name!r}, which the app does not have. {hint}")

    return {name: baseline and _judged(name, baseline, common, variables) for name, baseline in baselines.items()}


def _check_common(policies: tuple[Policy, ...], baselines: list[Baseline]) -> None:
    names = list(dict.fromkeys(item.name for baseline in baselines for item in baseline.distributions))
    for policy in policies:
        if policy.name not in names:
            which = "the baseline does not have" if len(baselines) == 1 else "no baseline has"
            _fail(f"names {policy.name!r}, which {which}. {suggestion(policy.name, names)}")


def _judged(
    model: str, baseline: Baseline, common: tuple[Policy, ...], variables: Mapping[str | None, tuple[Policy, ...]]
) -> Baseline:
    names = {item.name for item in baseline.distributions}
    try:
        own = baseline.judged_by(policy for policy in common if policy.name in names)
        return own.judged_by(variables.get(model, ()))
    except BaselineError as error:
        _fail(f"does not fit the baseline of model {model!r}: {error}")


def _fail(text: str) -> NoReturn:
    msg = f"'{KEY}' {text}"
    raise ConfigError(msg, key=KEY)
