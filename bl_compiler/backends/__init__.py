"""What runs the IR: the NumPy reference interpreter and the JAX backend."""
