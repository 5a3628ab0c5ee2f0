"""Training: recipes, data sets, the MONAI pipeline, evaluation, calibration and export of model packages."""

import os

# OpenMP's threads wait for each other at the end of each operation. By default they spin for milliseconds, so on a
# machine whose CPUs others use too, each waits for one that is not running, and the step takes several times as long.
# libgomp reads this once, when torch loads it. 1000 turns are some microseconds; then the kernel is asked to wake them.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
