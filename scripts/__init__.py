"""Writes files of this repository: the OpenAPI document, sample events, datasets, pictures."""
