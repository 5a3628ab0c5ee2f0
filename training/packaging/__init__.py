"""A run's network as a model package: the graph, its card, and the check against PyTorch."""
