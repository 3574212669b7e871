"""Whether a rehearsed environment is fit to train on, and the report that says so."""
