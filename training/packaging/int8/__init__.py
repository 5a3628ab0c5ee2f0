"""A float32 package graph as one with 8-bit convolutions, accepted only if its answers stay the same."""
