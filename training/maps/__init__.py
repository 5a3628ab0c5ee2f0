"""Activation maps: where the network looks, beside where people looked, and whether it learned to."""
