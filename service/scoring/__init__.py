"""Scoring in bulk: every image of a source becomes a row of Parquet. The extra ``score`` brings what it needs."""
