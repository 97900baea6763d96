"""The questions, one a file; the folder is the list."""
