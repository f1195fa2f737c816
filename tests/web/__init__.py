"""Tests of the web layer: real requests in, `/metrics` and records out, and the view's answer unchanged."""
