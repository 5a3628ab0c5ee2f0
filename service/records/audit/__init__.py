"""``python -m service audit``: what the prediction records say of a model over time."""
