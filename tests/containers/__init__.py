"""Containers for ``sam local`` on a machine of tests: Docker's where it answers, podman's otherwise."""
