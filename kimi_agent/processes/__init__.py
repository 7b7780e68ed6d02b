"""Ending a process with everything that it started: for the agent's commands and the person's own shell alike."""
