"""The command line: exit codes, streams, help, and each command."""
