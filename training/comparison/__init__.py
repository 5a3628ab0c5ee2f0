"""Kinds of recalibration side by side, over seeds and folds: differences, their significance, and what each costs."""
