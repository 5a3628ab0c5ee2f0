"""Comparing kinds of recalibration over seeds, and cross-validation: differences, significance and cost."""
