"""kimi as an MCP server: other programs give it tasks, and look at files through its gates."""
