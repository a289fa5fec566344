"""Everything that learns: model, batches, optimisation. The only package that imports torch."""
