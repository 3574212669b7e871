"""A run's or a job's figures, written for what teams watch."""
