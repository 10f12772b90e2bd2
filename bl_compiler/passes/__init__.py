"""Passes over the IR, the rules they are made of, and the instruments around them."""
