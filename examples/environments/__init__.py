"""Environments of other systems, one folder each: play them with ``ENVIRONMENTS=examples``."""
