"""Your environments, one folder each: agent, problems, reward and proof."""
