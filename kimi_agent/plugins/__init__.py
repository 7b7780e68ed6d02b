"""Plugins of others: how they are found, read, installed and trusted. What a plugin may add stands in kimi_agent/plugin.py."""
