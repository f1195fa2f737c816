"""The operating system: processes and their names, private files and folders, and a limit on log lines."""
