"""Rehearsal: a dataset is played in groups, as a trainer would."""
