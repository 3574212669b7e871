"""One training step against AWS's quotas, on paper and as a discrete-event simulation."""
