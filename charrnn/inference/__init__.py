"""Everything that uses what was learned: forward pass, sampling, scoring. NumPy alone."""
