"""Several processes that serve as one: who they are, and what they share."""
