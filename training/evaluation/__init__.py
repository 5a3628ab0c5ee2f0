"""What a trained network is worth: its predictions, calibrated, and the figures of merit with their intervals."""
