"""Decoded images on disk: each file is decoded once for every run, process and command that needs it at one size."""
