"""The Open Inference Protocol, version 2, over gRPC, as Triton and KServe publish it. Imported only if it is on.

The schema is in ``proto/``. The way from a message to its answer is that of REST: ``service.protocol``.
"""
