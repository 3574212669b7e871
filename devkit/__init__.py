"""The laptop: everything the stack needs, without AWS and without Docker."""
