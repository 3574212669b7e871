"""Logs, metrics and traces: ids, sizes and timings, never content."""
