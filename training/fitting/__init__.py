"""Training a recipe: the epochs, what they optimise, and what a killed run goes on from."""
