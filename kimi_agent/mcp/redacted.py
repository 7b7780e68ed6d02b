"""A definition for people: whole, but for the values that may be keys."""

import re
import shlex
from urllib.parse import urlsplit

from kimi_agent.core.sanitize import visible
from kimi_agent.mcp.definition import Server

HIDDEN = "***"
_VARIABLE = re.compile(r"\$\{[^}]*\}")


def shown_where(server: Server) -> str:
    """Its command line, or its address."""
    if server.transport == "stdio":
        return visible(shlex.join([server.command, *server.args]))
    return visible(shown_url(server.url))


def shown_url(url: str) -> str:
    """Without a password, and without the values of its query."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        query = re.sub(r"=[^&]*", lambda m: m[0] if _VARIABLE.search(m[0]) else f"={HIDDEN}", parts.query)
        return parts._replace(netloc=host, query=query).geturl()
    except ValueError:
        return url


def shown_definition(server: Server) -> str:
    """Everything of it, nothing cut, values of variables and headers hidden."""
    lines = [f"{'command' if server.transport == 'stdio' else 'url':<9} {shown_where(server)}"]
    if server.cwd:
        lines.append(f"cwd       {visible(server.cwd)}")
    if names := [*server.env, *server.pass_env]:
        lines.append(f"env       {visible(', '.join(names))}")
    if names := [*server.headers, *([f"Authorization (${server.bearer_env})"] if server.bearer_env else [])]:
        lines.append(f"headers   {visible(', '.join(names))}")
    if not server.box and server.transport == "stdio":
        lines.append("box       none: it can do what you can do")
    if server.sampling:
        lines.append("sampling  it may ask the model")
    lines.append(f"from      {visible(server.source)}")
    return "\n".join(lines)
