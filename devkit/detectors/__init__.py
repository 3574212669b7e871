"""Faults of an environment that would ruin training, found before it is paid for."""
