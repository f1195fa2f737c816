"""prometheus_flask_exporter's side; it only takes part where a whole request is measured."""

from __future__ import annotations

from apps import FEATURES, exporter_app, plain_app
from profile_case import profile_case
from timing import Case, serve
from workload import bodies
from wsgi import added_cost_case


def _added_cost(*, by_name: bool) -> Case:
    return added_cost_case(plain_app().wsgi_app, exporter_app().wsgi_app, bodies(FEATURES, by_name=by_name))


if __name__ == "__main__":
    serve(
        {
            "request by name": lambda: _added_cost(by_name=True),
            "request by position": lambda: _added_cost(by_name=False),
            "profile": lambda: profile_case(
                plain_app().wsgi_app, exporter_app().wsgi_app, bodies(FEATURES, by_name=True)
            ),
        }
    )
