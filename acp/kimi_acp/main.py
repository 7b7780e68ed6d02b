"""`kimi acp`: from its arguments to a server. The wire is there before anything else is loaded."""

import os
import sys
from collections.abc import Sequence

from kimi_acp.hello import hello
from kimi_acp.wire import Wire, apart

HELP = """Usage: kimi acp [OPTIONS]

Be an agent of the Agent Client Protocol on standard input and output, for an editor.

Takes the options of a session: -m NAME, --yolo, --plan, --add-dir DIR, --allow RULE, --mcp-config-file FILE,
--no-sandbox, --debug (a log in KIMI_HOME/logs) and more: see kimi --help.
"""


def main(arguments: Sequence[str]) -> int:
    """Serve until the input ends. Raises KimiError for options that cannot be followed."""
    if {"-h", "--help"} & set(arguments):
        sys.stdout.write(HELP)
        return 0
    stdin, stdout = apart()
    wire = Wire(stdin, stdout, hello)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # plugins of others are loaded by name from anywhere
    from kimi_acp.program import serve

    return serve(list(arguments), wire)
