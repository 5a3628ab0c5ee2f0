"""Triton's protocol buffers (see LICENSE), as of https://github.com/triton-inference-server/common, commit 83adf7c.

``make proto`` writes the modules from the ``.proto`` files. These keep their names, since a process knows a schema
by the name of its file, and a client of Triton in the same process has the same schema.
"""
