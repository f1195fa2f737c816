"""Tests of `flask_boxkite.notify`."""
