"""The ``rollout`` command, one module for each of its commands."""
