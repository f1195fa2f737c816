"""The HTTP side: the Flask extension, the WSGI middleware, and our own routes.

`extension` contains ``Boxkite``, `middleware` its counterpart for any other WSGI app. `request_body` reads what a
client sends, `return_values` what a view returns, `response_stream` what leaves for the server; `capture` turns these
into one prediction. `http` and `dashboard` serve ``/metrics`` and the page at the addresses of `routes`.
"""
