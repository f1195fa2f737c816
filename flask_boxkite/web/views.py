"""Views that `Boxkite.predict` has decorated, and the routes that lead to them."""

from __future__ import annotations

import inspect
import weakref
from collections import ChainMap, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from flask_boxkite.web.routes import DASHBOARD, METRICS

__all__ = ["PredictedView", "route_problems", "routed", "view_name"]

_OWN_ROUTES = {f"{METRICS}.metrics": "BOXKITE_METRICS_PATH", f"{DASHBOARD}.overview": "BOXKITE_DASHBOARD_PATH"}
"""Endpoints that a user's later route may meet, and the keys that move them."""


class PredictedView:
    """A decorated view and its model. It keeps neither alive: a view that a factory defines ends with its app.

    Attributes:
        model: The model that the decorator names; None for the only one.
        segments: Names in its option ``segments``.
    """

    def __init__(
        self,
        view: Callable[..., Any],
        wrapper: Callable[..., Any],
        model: str | None,
        segments: Collection[str] = (),
    ) -> None:
        self._view = _weakly(view)
        self._wrapper = _weakly(wrapper)
        self.model = model
        self.segments = segments

    @property
    def view(self) -> Callable[..., Any] | None:
        """The view as it was; None once it is gone."""
        return self._view()

    @property
    def wrapper(self) -> Callable[..., Any] | None:
        """The view as `Boxkite.predict` returned it; None once it is gone."""
        return self._wrapper()


def _weakly(function: Callable[..., Any]) -> Callable[[], Callable[..., Any] | None]:
    try:
        return weakref.ref(function)
    except TypeError:  # an object whose class has slots
        return lambda: function


def routed(app: Any, predicted: Sequence[PredictedView]) -> list[PredictedView]:
    """Return the decorated views that an app routes."""
    served = _served(app)
    return [item for item in predicted if item.wrapper in served]


def _served(app: Any) -> Sequence[Any]:
    """Return the view functions of an app and all that they wrap."""
    return [layer for view in app.view_functions.values() for layer in _layers(view)]


def view_name(view: Any) -> str:
    """Return the name of a view, as messages have it."""
    return str(getattr(view, "__qualname__", repr(view)))


def route_problems(app: Any, predicted: Sequence[PredictedView]) -> Iterator[str]:
    """Yield problems that show only when the app serves: decorators in the wrong order, shadowed routes."""
    served = _served(app)
    counted = [item.view for item in predicted if item.wrapper in served]
    for item in predicted:
        if item.view in served and item.view not in counted:
            yield (
                f"'@monitor.predict' stands above the route of {view_name(item.view)!r}, so it sees no request and "
                "counts nothing. Write the route first: '@app.post(...)', then '@monitor.predict'."
            )

    endpoints: defaultdict[str, set[str]] = defaultdict(set)
    for rule in app.url_map.iter_rules():
        if rule.methods is None or "GET" in rule.methods:
            endpoints[rule.rule].add(rule.endpoint)

    for path, serving in endpoints.items():
        key = next((_OWN_ROUTES[endpoint] for endpoint in serving if endpoint in _OWN_ROUTES), None)
        if key and len(serving) > 1:
            names = ", ".join(map(repr, sorted(serving)))
            yield f"Several routes serve '{path}': {names}. Set '{key}' to another path."


def _layers(view: Any) -> Sequence[Any]:
    """Return a view function and all that it calls, as far as it tells."""
    layers = [view]
    for layer in layers:  # which grows
        layers += [inner for inner in _inside(layer) if inner not in layers]
    return layers


def _inside(layer: Any) -> list[Any]:
    """Return the functions that a decorated function, a bound method, or the view of a class calls."""
    inside = [getattr(layer, name, None) for name in ("__wrapped__", "__func__")]
    if isinstance(view_class := getattr(layer, "view_class", None), type):
        members = ChainMap(*[dict(vars(base)) for base in view_class.__mro__])
        inside += [
            member for member in members.values() if inspect.isfunction(member) and hasattr(member, "__wrapped__")
        ]
    return [inner for inner in inside if inner is not None]
