"""Rehearsal: play a dataset in groups, as a trainer would, and say whether it will teach anything."""
