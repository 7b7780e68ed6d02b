"""How the person's own shell is started: bash, zsh, fish or sh, with their own rc files and our marks after these.

A command is no text that is typed: it lies in a file, and the line that is typed (the trigger) says begin, runs it and says
end. The marks also come with every prompt, for what never reaches the end of that line: Ctrl-C, a syntax error.
The prompt itself is empty and the line editor off, so that nothing but output is written between two commands.
"""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from kimi_agent.core.environment import persons_environment
from kimi_agent.frontends.common.shell_marks import MARK

_TRIGGER = b' __kimi_begin; \\eval "$__kimi_command"; __kimi_end\r'
_FISH_TRIGGER = b" __kimi_begin; eval $__kimi_command\r"
"""Its prompt alone says end: what is typed before that is thrown away after a Ctrl-C."""
COMMAND_FILE = "command"
REPLY_FILE = "reply"
"""What a shell that is asked quietly writes."""


class Start(Struct, frozen=True):
    """How a shell is started, and what is typed to run the command in its file.

    `noisy`: its line editor writes between two commands, so that what background jobs write then cannot be told apart.
    """

    argv: list[str]
    env: dict[str, str]
    trigger: bytes = _TRIGGER
    noisy: bool = False


_FUNCTIONS = r"""
__kimi_begin() {
  local __kimi_code=$?
  __kimi_command=$(<@FILE@)
  __kimi_hook
  builtin printf '\033]@MARK@;C;@NONCE@\a' >/dev/tty
  return $__kimi_code
}
__kimi_end() {
  local __kimi_code=$?
  builtin printf '\033]@MARK@;D;%s;%s;@NONCE@\a' "$__kimi_code" "$PWD" >/dev/tty
  __kimi_hook
  __kimi_blank
  return $__kimi_code
}
"""
_BASH = (
    _FUNCTIONS
    + r"""
__kimi_hook() {
  case "${PROMPT_COMMAND[*]-}" in *__kimi_end*) return ;; esac
  local IFS=$'\n' theirs
  theirs="${PROMPT_COMMAND[*]-}"
  if ! unset PROMPT_COMMAND 2>/dev/null; then __kimi_fixed=yes; return; fi
  PROMPT_COMMAND=$'__kimi_end\n'"$theirs"$'\n__kimi_blank'
}
__kimi_blank() {
  PS0= PS1= PS2=
  if [ -n "${__kimi_fixed-}" ]; then PS1=$'\e]@MARK@;D;$?;$PWD;@NONCE@\a'; fi
}
__kimi_quiet() {
  __kimi_saved=$?
  if [ -n "${__kimi_fixed-}" ]; then return; fi
  __kimi_prompt=$PROMPT_COMMAND; PROMPT_COMMAND=__kimi_back
}
__kimi_same() { return $__kimi_saved; }
__kimi_back() { local code=$?; PROMPT_COMMAND=$__kimi_prompt; (exit $code); __kimi_end; }
@RC@
{ HISTCONTROL=ignorespace:${HISTCONTROL-}; } 2>/dev/null
set +o emacs +o vi
__kimi_hook
__kimi_blank
"""
)
"""Some machines have a PROMPT_COMMAND that nobody may change (`readonly`): then the prompt alone is the mark."""
_ZSHENV = r"""
__kimi_own=$ZDOTDIR
if (( ${+KIMI_ZDOTDIR} )); then export ZDOTDIR=$KIMI_ZDOTDIR; else unset ZDOTDIR; fi
unset KIMI_ZDOTDIR
[[ -r ${ZDOTDIR:-$HOME}/.zshenv ]] && . "${ZDOTDIR:-$HOME}/.zshenv"
(( ${+ZDOTDIR} )) && __kimi_theirs=$ZDOTDIR
ZDOTDIR=$__kimi_own
"""
_ZSH = (
    r"""
if (( ${+__kimi_theirs} )); then export ZDOTDIR=$__kimi_theirs; else unset ZDOTDIR; fi
unset __kimi_own __kimi_theirs
"""
    + _FUNCTIONS.replace("=$?\n", "=$?\n  emulate -L zsh\n")
    + r"""
__kimi_blank() { PS1= RPS1= PS2= RPS2= }
__kimi_quiet() {
  __kimi_saved=$?
  emulate -L zsh
  __kimi_precmds=($precmd_functions); precmd_functions=(__kimi_back)
  if (( ${+functions[precmd]} )); then functions[__kimi_precmd]=$functions[precmd]; unfunction precmd; fi
}
__kimi_same() { return $__kimi_saved }
__kimi_back() {
  local code=$?
  emulate -L zsh
  precmd_functions=($__kimi_precmds)
  if (( ${+functions[__kimi_precmd]} )); then functions[precmd]=$functions[__kimi_precmd]; unfunction __kimi_precmd; fi
  (exit $code); __kimi_end
}
__kimi_hook() {
  emulate -L zsh
  precmd_functions=(__kimi_end ${precmd_functions:#__kimi_*} __kimi_blank)
}
@RC@
setopt hist_ignore_space
unsetopt zle prompt_cr prompt_sp
__kimi_hook
"""
)
_RC = {
    "bash": "if [ -r ~/.bashrc ]; then . ~/.bashrc; fi",
    "zsh": '[[ -r ${ZDOTDIR:-$HOME}/.zshrc ]] && . "${ZDOTDIR:-$HOME}/.zshrc"',
}
"""What the person has their shell read. Our functions come before it: an alias of theirs is none there."""
_FISH = r"""
function __kimi_begin
  set -l code $status
  set -g __kimi_command (command cat @FILE@ | string collect)
  printf '\e]@MARK@;C;@NONCE@\a' >/dev/tty
  return $code
end
function __kimi_end --on-event fish_prompt
  set -l code $status
  printf '\e]@MARK@;D;%s;%s;@NONCE@\a' $code "$PWD" >/dev/tty
  return $code
end
function __kimi_over --on-event fish_postexec
  printf '\e]@MARK@;E;@NONCE@\a' >/dev/tty
end
function __kimi_same
  return $argv[1]
end
function fish_prompt; end
function fish_right_prompt; end
function fish_mode_prompt; end
function fish_greeting; end
"""
_SH = r"""
if [ -n "$KIMI_ENV" ]; then ENV=$KIMI_ENV; . "$ENV"; else unset ENV; fi
unset KIMI_ENV
__kimi_begin() {
  __kimi_code=$?
  __kimi_command=$(command cat @FILE@)
  command printf '\033]@MARK@;C;@NONCE@\a' >/dev/tty
  return $__kimi_code
}
__kimi_end() {
  __kimi_code=$?
  command printf '\033]@MARK@;D;%s;%s;@NONCE@\a' "$__kimi_code" "$PWD" >/dev/tty
  return $__kimi_code
}
PS1=$(command printf '\033]@MARK@;D;$?;$PWD;@NONCE@\a')
PS2=
"""


def users_shell(environ: Mapping[str, str]) -> str:
    """The program: `SHELL`, else what the system has for this user, else sh."""
    given = environ.get("SHELL", "")
    if _runs(given):
        return given
    registered = _registered()  # which may talk to a daemon
    return registered if _runs(registered) else "/bin/sh"


def _runs(path: str) -> bool:
    return os.path.isabs(path) and os.access(path, os.X_OK)  # noqa: PTH117 - an empty Path is the current folder


def _registered() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_shell
    except KeyError:
        return ""


def kind_of(shell: str) -> str:
    """The name of a known shell; sh takes the place of others."""
    name = Path(shell).name
    return name if name in ("bash", "zsh", "fish") else "sh"


def prepare(shell: str, folder: Path, nonce: str, environ: Mapping[str, str], *, bare: bool = False) -> Start:
    """Write what the shell reads at its start into `folder`; `bare`: without what the person has it read.

    Of an unknown shell none of this is known: sh takes its place.
    """
    scripts = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH, "sh": _SH}
    kind = kind_of(shell)
    shell = shell if Path(shell).name == kind else "/bin/sh"
    start = folder / (".zshrc" if kind == "zsh" else "start")
    text = (
        scripts[kind].replace("@RC@", "" if bare else _RC.get(kind, "")).replace("@FILE@", f"'{folder / COMMAND_FILE}'")
    )
    start.write_text(text.replace("@MARK@", f"{MARK};{nonce}").replace("@NONCE@", nonce))
    own = persons_environment(environ)
    env = {name: value for name, value in own.items() if name not in ("COLUMNS", "LINES")}
    if kind == "bash":
        return Start([shell, "--rcfile", str(start), "-i"], env)
    if kind == "fish":
        no_config = ["--no-config"] if bare else []
        return Start([shell, *no_config, "-i", "-C", f"source '{start}'"], env, _FISH_TRIGGER, noisy=True)
    if kind == "sh":
        return Start([shell, "-i"], env | {"ENV": str(start), "KIMI_ENV": "" if bare else env.get("ENV", "")})
    if bare:
        return Start([shell, "-i"], env | {"ZDOTDIR": str(folder)})
    (folder / ".zshenv").write_text(_ZSHENV)
    theirs = {"KIMI_ZDOTDIR": env["ZDOTDIR"]} if "ZDOTDIR" in env else {}
    return Start([shell, "-i"], env | theirs | {"ZDOTDIR": str(folder)})


class Chosen:
    """The person's shell; another one, or none of their start files, where these leave it before its first prompt."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._program = users_shell(environ)
        self._bare = self._other = False

    @property
    def kind(self) -> str:
        return kind_of(self._program)

    def prepare(self, folder: Path, nonce: str) -> Start:
        return prepare(self._program, folder, nonce, self._environ, bare=self._bare)

    def was_left_for_another(self, pid: int) -> bool:
        """Whether the shell has become another known one, as by `exec zsh` in a .bashrc: that one is theirs."""
        try:
            program = Path(f"/proc/{pid}/exe").readlink()
        except OSError:  # other systems do not tell
            return False
        if kind_of(str(program)) in ("sh", self.kind) or program == Path("/bin/sh").resolve():
            return False
        self._program, self._other = str(program), True
        return True

    def once_more(self, code: int | None) -> bool:
        """Whether to start another one, after an end before the first prompt. Without start files is the last way."""
        if code is not None and not self._bare:
            self._bare = self._other = True
        other, self._other = self._other, False
        return other
