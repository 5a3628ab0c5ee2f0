"""Prediction records: what was answered, kept in a database, and what turned out to be true.

A record holds no image, no file name and nothing about the patient. SQLAlchemy is imported only where records are
kept: :mod:`service.records.opening` says how they begin.
"""
