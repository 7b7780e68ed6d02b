"""A program of its own that uses a sign-in: `python oauth_child.py HOME URL`. Waits for a line on stdin, then says what came."""

import asyncio
import sys
from pathlib import Path

from mcp import Client

from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.http import Heard, http_transport
from kimi_agent.mcp.oauth import stored_auth


async def main(home: Path, url: str) -> None:
    server, heard = Server(name="fake", scope="user", transport="http", url=url), Heard()
    try:
        async with Client(http_transport(server, stored_auth(server, home), heard), mode="legacy") as client:
            print(*[tool.name for tool in (await client.list_tools()).tools])
    except Exception:
        print("refused:", heard.cause)


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
