"""What a trained network does, as numbers and as pictures; without torch."""
