"""From text or Python calls to the module that `lower.lower` makes of them."""
