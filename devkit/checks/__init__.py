"""What ``rollout check`` looks at: settings, agent, dataset, the deployed stack, roles, costs."""
