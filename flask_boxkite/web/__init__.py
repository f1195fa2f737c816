"""The HTTP side: the Flask extension, the WSGI middleware, and our own routes.

`extension` contains ``Boxkite``, `middleware` its counterpart for any other WSGI app. `request_body` reads a
request, in which `request_features` finds the features; `return_values` reads a view's return value, `response_stream`
the answer on its way to the server. `capture` turns these into one prediction. `http` and `dashboard` serve
``/metrics`` and the page at the addresses of `routes`; `access` decides who sees the page.
"""
