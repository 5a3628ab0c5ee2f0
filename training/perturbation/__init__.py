"""What ordinary changes of an image cost a network, measured by ``python -m training perturb``."""
