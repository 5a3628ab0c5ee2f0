"""Analysis of gates: which correlate, which tell the classes apart, and which can be pruned."""
