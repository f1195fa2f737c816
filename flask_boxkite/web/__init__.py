"""The HTTP side: the Flask extension, the WSGI middleware, and our own routes.

`extension` contains ``Boxkite``, `middleware` its counterpart for any other WSGI app. `monitored_app` has the hooks on
a Flask app, and `predict` the decorator of its views, which `views` finds among the routes. `request_body` reads a
request, in which `request_features` finds the features; `return_values` reads a view's return value, `response_stream`
the answer on its way to the server. `capture` turns these into one prediction, `redacted_capture` into one with hidden
fields. `http` serves ``/metrics``; `dashboard` has the addresses of the page, `pages` its views, and `access` decides
who sees it. `routes` adds all these to an app, under every host.
"""
