"""The trained network's forward pass, in NumPy alone."""
