"""Training: recipes, data sets, the MONAI pipeline, evaluation, calibration and export of model packages."""
