"""What a network is (:mod:`models.resnet`) and what a model package is (:mod:`models.package`).

This file imports nothing, so that the service can read :mod:`models.card`, :mod:`models.package` and
:mod:`models.preprocessing` in a process without torch.
"""
