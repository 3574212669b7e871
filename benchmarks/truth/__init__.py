"""What the detectors say of an environment, beside what training really makes of it."""
