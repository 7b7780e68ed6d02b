"""Folder trust: which files of a folder a person has trusted, by their content (docs/guides/trust.md)."""
