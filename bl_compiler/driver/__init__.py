"""The compiler as functions: sources in, modules, programs and diagnostics out; command line and API are its callers.

Invariant: nothing here prints, exits, or reads the environment. May import: floors 0-4.
"""
