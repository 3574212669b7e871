"""The console: an ASGI application that shows jobs, rewards and trajectories, and changes nothing."""
