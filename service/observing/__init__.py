"""Logs, metrics, traces and statistics, for those who run the service."""
