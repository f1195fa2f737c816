"""Real extensions on one app with ours; `tests.integration.test_extensions` runs them in their environment."""
