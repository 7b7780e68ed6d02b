"""The command line: flags to a Config, to build(), to a front end."""

import os
import sys
from collections.abc import Sequence

from kimi_agent.core.errors import KimiError
from kimi_agent.core.exit import ExitCode, error_code


def run(arguments: Sequence[str]) -> int:
    """Parse and do what `arguments` say; answers an exit code.

    A KimiError is one line on standard error, with its hint; a fault of ours is one line, too, and a report in a file. A
    traceback is shown only with `--debug`.
    """
    try:
        _parse(arguments)
    except SystemExit as end:  # how Typer ends, always
        return _flushed(end.code if isinstance(end.code, int) else ExitCode.DONE if end.code is None else 1)
    except KimiError as error:
        if "--debug" in arguments:
            raise
        sys.stderr.write(f"kimi: {error}\n" + (f"      {error.hint}\n" if error.hint else ""))
        return _flushed(error_code(type(error).__name__))
    except BrokenPipeError:
        return _flushed(ExitCode.FAILED)
    except OSError as error:  # a full disk, a folder that may not be written to: the machine's fault, told in one line
        if "--debug" in arguments:
            raise
        sys.stderr.write(f"kimi: {error}\n")
        return _flushed(ExitCode.FAILED)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        if "--debug" in arguments:
            raise
        from kimi_agent.cli.crash import tell

        tell(error)
        return _flushed(ExitCode.FAILED)
    return _flushed(ExitCode.DONE)


def _parse(arguments: Sequence[str]) -> None:
    """Raises SystemExit with the code, or a KimiError."""
    if (
        not arguments and "_KIMI_COMPLETE" not in os.environ
    ):  # a parser would be a tenth of the time to the first prompt
        from kimi_agent.cli.options import Options
        from kimi_agent.cli.start import start

        raise SystemExit(start(Options()))
    from kimi_agent.cli.programs import program

    if arguments and (main := program(arguments[0])) is not None:
        raise SystemExit(main(arguments[1:]))
    from kimi_agent.cli.app import command

    command()(args=list(arguments), prog_name="kimi")


def _flushed(code: int) -> int:
    """Flush now, where a reader that has gone can be ignored, and not in the interpreter's last breath."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):  # a full disk: what was written is not whole
            return code or ExitCode.FAILED
    return code
