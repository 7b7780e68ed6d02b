"""The `kimi` program. Nothing is imported before it is known to be needed: `kimi --version` is bare Python plus a print."""

import sys


def main() -> int:
    """Run the command line of this process; answers its exit code (core/exit.py)."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from kimi_agent import __version__

        sys.stdout.write(f"kimi {__version__}\n")
        return 0
    from kimi_agent.cli import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
