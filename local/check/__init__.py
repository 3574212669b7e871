"""``rollout check``: reads settings, agent, dataset and stack, and says plainly what to mend."""
