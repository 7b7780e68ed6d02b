"""The local K2 engine: reads Kimi K2 checkpoints, runs them, serves them on loopback.

It never imports `kimi_agent`; the two speak HTTP.
"""
