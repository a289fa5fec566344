"""Text from a trained network: sampling, constraints, one stream or many sequences at once."""
