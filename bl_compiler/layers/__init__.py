"""Layers and built-in functions of the language; `registry.LAYERS` holds them all by name."""
