"""Random requests to an app and to its plain twin: no answer differs, and each prediction is counted once."""
