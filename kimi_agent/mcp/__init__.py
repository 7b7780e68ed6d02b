"""MCP servers: their definitions, connections and tools. Nothing here imports the SDK before a server is connected to."""
