"""Screens: each runs an agent and draws its events."""
