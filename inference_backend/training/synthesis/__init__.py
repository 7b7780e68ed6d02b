"""Agentic data, made as the K2 report describes it (section 3.1.1): worlds, tasks with goals that code checks, trajectories by an
expert that acts through the agent's own loop and tools, replay in a clean world, filters, a dataset with a manifest.

This is the one package of the engine that knows the agent, and only `rooms.py`, `expert.py` and `replay.py` of it do.
"""
