"""The command line: a file for each command, which parses, calls functions and shows results."""
