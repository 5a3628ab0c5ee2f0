"""Prediction records in a database: what was answered, and the confirmed labels.

A record contains no image, no file name and no patient data. SQLAlchemy is imported only if records are kept, by
:mod:`service.records.opening`.
"""
