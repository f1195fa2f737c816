"""The monitoring of one model, without a web framework: its predictions, what is said of them, and what was seen."""
