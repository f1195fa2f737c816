"""The operating system: processes, servers and forks, files, locks and folders, and a limit on log lines."""
