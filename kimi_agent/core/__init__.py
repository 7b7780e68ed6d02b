"""Contracts: what the rooms of the house say to one another. Imports nothing of ours and no heavy library."""
