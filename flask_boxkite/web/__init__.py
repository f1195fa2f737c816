"""Where requests come in: the Flask extension, the WSGI middleware, and the pages that are served.

`extension` is ``Boxkite``, `middleware` the same for any other WSGI app. `request_body` sees what a client sends,
`return_values` what a view returns, `response_stream` what leaves for the server; `capture` makes one prediction of
these. `http` and `dashboard` answer for ``/metrics`` and the page, at the addresses of `routes`.
"""
