"""The operating system: processes and their names, private files and folders, and logging once in a while."""
