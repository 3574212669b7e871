"""Whether a judge judges as people do."""
