"""Datasets: from what a team has to what a job reads, and back."""
