"""AWS for a rollout: clients, the Job Runtime, durable steps, the table, the bucket."""
