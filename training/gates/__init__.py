"""What a run's gates do: which move together, which tell the classes apart, and which can be pruned."""
