"""The monitoring of one model without a web framework: predictions, redaction, observations and findings."""
