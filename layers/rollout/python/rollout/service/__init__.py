"""What the entry points call: one function for each thing an endpoint does."""
