"""What the conformance suite starts for each scenario: it hands the task to conformance_driver.py, and ends as that says."""

import json
import os
import socket
import sys


def forward(port: int, url: str) -> int:
    names = ("SCENARIO", "PROTOCOL_VERSION", "CONTEXT")
    given = [url, *(os.environ.get(f"MCP_CONFORMANCE_{name}", "") for name in names)]
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(json.dumps(given).encode() + b"\n")
        failure = line.makefile().read()
    sys.stderr.write(failure)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(forward(int(sys.argv[1]), sys.argv[2]))
