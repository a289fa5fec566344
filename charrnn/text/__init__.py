"""From bytes to ids: sources, decoding, vocabulary, splits, prepared corpora. No torch."""
