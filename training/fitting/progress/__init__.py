"""What a run shows while it trains: losses, curves, a row for each epoch, MLflow."""
