"""The drift page without Flask: observations as HTML, as a file to keep, and as JSON."""
