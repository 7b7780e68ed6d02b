"""The SDK is loaded in a thread that can be given up: no exit waits for it, and what was half loaded is loaded anew."""

import subprocess
import sys

PROGRAM = """
import asyncio, sys, threading
from kimi_agent.mcp.sdk import load_sdk

async def main():
    for _ in range(3):
        loading = asyncio.ensure_future(load_sdk())
        await asyncio.sleep(0.02)
        loading.cancel()
        await asyncio.wait([loading])
        assert loading.cancelled()
    assert "mcp.client.streamable_http" not in sys.modules
    await asyncio.gather(load_sdk(), load_sdk())
    assert "mcp.client.streamable_http" in sys.modules
    import mcp, mcp_types
    assert mcp.types.Tool is mcp_types.Tool
    assert not [finder for finder in sys.meta_path if "Gate" in type(finder).__name__]

asyncio.run(main())
print("whole")
"""


def test_loading_that_is_given_up_and_begun_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("whole\n", "")
