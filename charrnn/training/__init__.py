"""Everything that learns: model, batches, optimisation. The only wing that imports torch."""
