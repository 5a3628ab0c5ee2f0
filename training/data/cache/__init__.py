"""Decoded images and unpacked arrays on disk: each is made once for every run, process and command that needs it."""
