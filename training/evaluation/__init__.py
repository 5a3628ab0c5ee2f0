"""Evaluation of a trained network: predictions, calibration, and figures with their intervals."""
