"""Training a recipe: epochs, loss and optimiser, and checkpoints to resume from."""
