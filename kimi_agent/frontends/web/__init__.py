"""The shell in a browser: a server on loopback, and one `kimi` on a pseudo-terminal per page."""
