"""How unlike the training images an image's style is: the reference that a package carries, and how well it tells."""
