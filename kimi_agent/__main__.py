"""The `kimi` program. Nothing is imported before it is known to be needed: `kimi --version` is bare Python plus a print."""

import gc
import os
import sys


def main() -> int:
    """Run the command line of this process; answers its exit code (core/exit.py)."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_closed_streams()
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from kimi_agent import __version__

        try:
            sys.stdout.write(f"kimi {__version__}\n")
            sys.stdout.flush()
        except OSError:
            os._exit(1)  # a reader that has gone, a full disk: a normal exit would try to write once more
        return 0
    gc.disable()  # imports make no garbage, but a tenth of the start would be spent on looking for it
    _pass_over_working_folder()
    try:
        from kimi_agent.cli import run
    except KeyboardInterrupt:
        return 130
    return run(arguments)


def _pass_over_working_folder() -> None:
    """What lies in a project must not be imported or run because kimi is started there.

    Python looks there for `python -m kimi_agent`, and for an empty entry of PYTHONPATH; every program for an entry of PATH that
    is empty or relative.
    """
    os.environ["PATH"] = os.pathsep.join(filter(os.path.isabs, os.environ.get("PATH", os.defpath).split(os.pathsep)))
    try:
        here = os.path.realpath(os.curdir)
    except OSError:  # the folder was deleted: nothing lies there
        return
    if os.path.realpath(os.path.dirname(os.path.dirname(__file__))) == here:  # noqa: PTH120 - pathlib takes its time
        return  # kimi's own source, as who works on it starts it: it runs from there already
    sys.path[:] = [folder for folder in sys.path if folder and os.path.realpath(folder) != here]


def _open_closed_streams() -> None:
    """A parent may have closed one (`>&-`): the first file that we open must not become our standard output."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            while (descriptor := os.open(os.devnull, os.O_RDWR)) < number:
                pass  # a lower one was closed too, and is now taken
            if descriptor > number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


if __name__ == "__main__":
    sys.exit(main())
