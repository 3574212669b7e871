"""A small trainer: watch an environment teach a policy on this machine before paying for a job."""
