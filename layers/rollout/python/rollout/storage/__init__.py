"""What is remembered of rollouts, and read again."""
