"""kimi as an agent of the Agent Client Protocol: what `kimi acp` runs, for editors and other programs."""
