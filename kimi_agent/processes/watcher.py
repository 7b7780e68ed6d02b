"""Kills what commands left running when this program is gone, however it went: also by SIGKILL, by SIGHUP, by a crash.

A shell waits at the other end of a pipe that closes when this program ends. It is no child of ours, holds nothing of ours
open, and costs a millisecond, once, when the first command is run.
"""

import os
import secrets
from contextlib import suppress
from functools import cache

from kimi_agent.processes.family import MARK, mark_of

# It reads the leaders of the commands that run ("+ PID", "- PID"). At the end it kills their groups, and then, round by
# round, all that carries the mark: "$1" as bytes of /proc/PID/environ.
_SCRIPT = """\
{
  trap '' HUP INT TERM QUIT TSTP
  cd /
  leaders=' '
  while read -r sign pid; do
    case $sign in
      +) leaders="$leaders$pid " ;;
      -) leaders="${leaders%% "$pid" *} ${leaders#* "$pid" }" ;;
    esac
  done
  for pid in $leaders; do kill -KILL "-$pid"; done
  for round in 1 2 3 4 5 6 7 8; do
    found=$(grep -lF -- "$1" /proc/[0-9]*/environ)
    [ -n "$found" ] || exit 0
    for file in $found; do file=${file#/proc/}; kill -KILL "${file%/environ}"; done
  done
} <&3 3<&- >/dev/null 2>&1 &
"""


class Watcher:
    """`mark` is in the environment of every command; `started` and `ended` tell of their leaders."""

    def __init__(self) -> None:
        self.mark = mark_of(os.environ.get(MARK, ""), secrets.token_hex(8))
        read_end, self._pipe = os.pipe()
        try:
            argv = ["sh", "-c", _SCRIPT, "sh", f"{MARK}={self.mark}"]
            actions = [(os.POSIX_SPAWN_DUP2, read_end, 3)]
            own = {"PATH": os.environ.get("PATH", os.defpath)}
            pid = os.posix_spawnp("sh", argv, own, file_actions=actions, setpgroup=0)
            os.waitpid(pid, 0)
        except OSError:  # no shell here: then nothing is left to be killed by it
            pass
        finally:
            os.close(read_end)
        os.set_blocking(self._pipe, False)

    def started(self, leader: int) -> None:
        self._tell(f"+ {leader}\n")

    def ended(self, leader: int) -> None:
        self._tell(f"- {leader}\n")

    def _tell(self, line: str) -> None:
        with suppress(OSError):  # the watcher was killed
            os.write(self._pipe, line.encode())


@cache
def watcher() -> Watcher:
    """The one of this process."""
    return Watcher()
