"""The command line `blc`: one file a command, thin over `driver` and `training`.

Invariant: stdout carries what was asked for and nothing else. May import: floors 0 and 5, click; other
floors inside functions.
"""
