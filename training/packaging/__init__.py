"""A run's network as a model package: the graph, its card, and the proof that it answers as PyTorch does."""
