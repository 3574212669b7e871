"""Your agents: one file each, named by ROLLOUT_AGENT=agents.FILE:FUNCTION."""
