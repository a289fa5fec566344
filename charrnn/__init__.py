"""charrnn: character-level recurrent language models, trained with torch and served with NumPy."""

__version__ = "0.1.0"
