"""Tab in shell mode: what the person's own shell would complete, asked of the shell that runs, else files and programs.

Of the line only the last command counts, up to the cursor. The shell is asked in a subshell of it, so that nothing changes there.
"""

import asyncio
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kimi_agent.frontends.common.user_shell import UserShell

MOST = 1000
"""Candidates that are taken."""
_SPECIAL = re.compile(r"""([\s!"#$&'()*;<>?\[\\\]^`{|}])""")
_SPECIAL_QUOTED = re.compile(r'(["$`\\])')
_TOKEN = re.compile(
    r"""(?P<blank>\s+)|(?P<end>\|\|?|&&?|;;?|\n|\(|\$\(|`)|(?P<redirect>\d*[<>]+&?)
    |(?P<single>'[^']*(?:'|\Z))|(?P<double>"(?:[^"\\]|\\.)*(?:"|\Z))|(?P<escaped>\\(?:.|\Z))|(?P<plain>[^\s|&;()<>'"\\`])""",
    re.VERBOSE | re.DOTALL,
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*\Z", re.DOTALL)
_BEFORE_COMMANDS = frozenset(
    {"do", "then", "else", "elif", "if", "while", "until", "!", "{", "time", "exec", "command", "builtin"}
)


@dataclass(frozen=True, slots=True)
class Typed:
    """The command that is typed: its words before the last one, and the last one, which begins at `start` of the line."""

    words: tuple[str, ...]
    last: str
    start: int
    quote: str
    """The quote that is open in it, if one is."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """`insert` takes the place of what is typed of the word; `label` is shown."""

    insert: str
    label: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Candidates:
    """`start`: where in the line the word begins. `common`: what all candidates begin with, as it is typed."""

    start: int
    items: tuple[Candidate, ...]
    common: str


class Found(NamedTuple):
    """A word that a shell knows: what it is, whether a space follows it, whether it is written as it stands."""

    text: str
    help: str = ""
    space: bool = True
    raw: bool = False


def parse(line: str, breaks: str = "") -> Typed:
    """The last command of a line. `breaks`: characters at which the last word is taken apart, as bash does at = and :."""
    words: list[str] = []
    last, start, quote, inside, redirected = "", len(line), "", False, False

    def finish() -> None:
        nonlocal last, inside, redirected
        if inside and not redirected and (words or not (_ASSIGNMENT.match(last) or last in _BEFORE_COMMANDS)):
            words.append(last)
        if inside:
            redirected = False
        last, inside = "", False

    for match in _TOKEN.finditer(line):
        text = match[0]
        match match.lastgroup:
            case "blank":
                finish()
            case "end":
                finish()
                words, redirected = [], False
            case "redirect":
                finish()
                redirected = True
            case kind:
                if not inside:
                    start, inside = match.start(), True
                closed = len(text) > 1 and text[-1] == text[0]
                quote = text[0] if kind in ("single", "double") and not closed else ""
                last += _bare(text, str(kind), closed)
    if not inside:
        return Typed(tuple(words) or (("<",) if redirected else ()), "", len(line), "")
    if redirected and not words:
        words = ["<"]  # a file is wanted, no command
    if breaks and not quote and (cut := max(last.rfind(char) for char in breaks)) >= 0 and words:
        words += [part for part in re.split(f"([{re.escape(breaks)}])", last[: cut + 1]) if part]
        raw = max(line.rfind(char, start) for char in breaks)
        return Typed(tuple(words), last[cut + 1 :], raw + 1, "")
    return Typed(tuple(words), last, start, quote)


def _bare(text: str, kind: str, closed: bool) -> str:
    if kind == "single":
        return text[1:-1] if closed else text[1:]
    if kind == "double":
        return re.sub(r'\\(["$`\\])', r"\1", text[1:-1] if closed else text[1:])
    return text[1:] if kind == "escaped" else text


async def complete(shell: UserShell, line: str) -> Candidates:
    """What may stand in the place of the last word. Never raises; a shell that is slow is not waited for."""
    kind = shell.kind
    typed = parse(line, "=:" if kind == "bash" else "")
    found = None
    if script := _script(kind, line, typed):
        reply = await shell.ask(script)
        found = None if reply is None else _read(kind, reply, typed)
    if found is None or (kind == "zsh" and not found):
        found = await asyncio.to_thread(_files_and_programs, typed, shell)
    return await asyncio.to_thread(_candidates, found, typed, line, shell)


def _candidates(found: Iterable[Found], typed: Typed, line: str, shell: UserShell) -> Candidates:
    items: dict[str, Candidate] = {}
    stems: list[str] = []
    for text, help_, space, raw in found:
        folder = not raw and not text.endswith("/") and _is_folder(shell, text, typed)
        whole = f"{text}/" if folder else text
        insert = stem = whole if raw and not typed.quote else _as_typed(whole, typed, line)
        if space and not whole.endswith("/"):
            insert += typed.quote + " "
        if insert not in items:
            items[insert] = Candidate(insert, _label(whole), help_)
            stems.append(stem)
        if len(items) >= MOST:
            break
    common = _common(stems)
    ordered = sorted(items.values(), key=lambda item: item.label.lower())
    return Candidates(typed.start, tuple(ordered), common if len(common) > len(line) - typed.start else "")


def _common(texts: list[str]) -> str:
    """What all texts begin with, no half of an escape at its end."""
    if not texts:
        return ""
    first, last = min(texts), max(texts)
    common = first[: next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
    return common[:-1] if (len(common) - len(common.rstrip("\\"))) % 2 else common


def _is_folder(shell: UserShell, text: str, typed: Typed) -> bool:
    if not typed.words and "/" not in text:
        return False  # a command
    with suppress(OSError, RuntimeError, ValueError):
        return _place(shell, text).is_dir()
    return False


def _label(text: str) -> str:
    """The last part of a path: the rest is typed already."""
    return text[text.rfind("/", 0, -1) + 1 :]


def _as_typed(text: str, typed: Typed, line: str) -> str:
    """The word completed to `text`: what is typed of it stays as it is typed, the rest is quoted as it needs."""
    raw = line[typed.start :]
    if text.startswith(typed.last):
        return raw + _quoted(text[len(typed.last) :], typed.quote)
    return typed.quote + _quoted(text, typed.quote)


def _quoted(text: str, quote: str) -> str:
    if quote == "'":
        return text.replace("'", "'\\''")
    return _SPECIAL_QUOTED.sub(r"\\\1", text) if quote else _SPECIAL.sub(r"\\\1", text)


# --- the shells -------------------------------------------------------------------------------------------------------

_BASH = r"""
{ __kimi_quiet
(
  COMP_LINE=@LINE@; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9; COMP_KEY=9; COMP_WORDS=(@WORDS@); COMP_CWORD=@NUMBER@
  COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'; COMPREPLY=(); __kimi_o=" "
  __kimi_cur=${COMP_WORDS[COMP_CWORD]}; __kimi_prev=${COMP_WORDS[COMP_CWORD-1]-}; __kimi_cmd=${COMP_WORDS[0]}
  case $__kimi_cur in [=:]) __kimi_cur= ;; esac
  trap - ERR DEBUG EXIT RETURN; set +eux
  compopt() {
    while (($#)); do
      case $1 in -o) __kimi_o+="$2 "; shift ;; +o) __kimi_o=${__kimi_o/ $2 / }; shift ;; esac
      shift
    done
  }
  __kimi_spec() { complete -p -- "$1" || complete -p -- "${1##*/}"; }
  __kimi_gen() { mapfile -t COMPREPLY < <(compgen "$@" -- "$__kimi_cur"); }
  if [[ $__kimi_cur == \$* ]]; then
    mapfile -t COMPREPLY < <(compgen -v -P '$' -- "${__kimi_cur#?}")
  elif ((COMP_CWORD == 0)) && [[ $__kimi_cur != */* ]]; then
    __kimi_gen -c
  else
    declare -F _init_completion || declare -F _comp_initialize || {
      [[ -r /usr/share/bash-completion/bash_completion ]] && . /usr/share/bash-completion/bash_completion; }
    for __kimi_try in 1 2 3; do
      ((COMP_CWORD)) || break
      __kimi_found=$(__kimi_spec "$__kimi_cmd")
      if [[ -z $__kimi_found && -n ${BASH_ALIASES[$__kimi_cmd]-} ]]; then
        __kimi_cmd=${BASH_ALIASES[$__kimi_cmd]%% *}; COMP_WORDS[0]=$__kimi_cmd
        __kimi_found=$(__kimi_spec "$__kimi_cmd")
      fi
      [[ $__kimi_found ]] || __kimi_found=$(complete -p -D)
      [[ $__kimi_found ]] || break
      eval "set -- ${__kimi_found#complete }"
      __kimi_f=; __kimi_args=()
      while (($#)); do
        case $1 in
          -F) __kimi_f=$2; shift ;;
          -o) __kimi_o+="$2 "; shift ;;
          -D|-E|-I) ;;
          -[AGWCXPS]) __kimi_args+=("$1" "$2"); shift ;;
          -*) __kimi_args+=("$1") ;;
        esac
        shift
      done
      ((${#__kimi_args[@]})) && __kimi_gen "${__kimi_args[@]}"
      if [[ $__kimi_f ]]; then
        "$__kimi_f" "$__kimi_cmd" "$__kimi_cur" "$__kimi_prev"
        (($? == 124)) && { COMPREPLY=(); __kimi_o=" "; continue; }
      fi
      break
    done
    if ((${#COMPREPLY[@]} == 0)); then
      case $__kimi_cmd:${__kimi_found-}:$__kimi_o in
        cd::*|pushd::*|rmdir::*|*" dirnames "*) __kimi_gen -d; __kimi_o+="filenames " ;;
        *::*|*default" "*|*" filenames "*) __kimi_gen -f; __kimi_o+="filenames " ;;
      esac
    fi
  fi
  printf '%s\0' "$__kimi_o" "${COMPREPLY[@]:0:@MOST@}" >@REPLY@
)
__kimi_same; } </dev/null >/dev/null 2>&1
"""
_ZSH = r"""
{ __kimi_quiet
(
  builtin emulate -L zsh; builtin zmodload zsh/parameter
  names=(@NAMES@)
  builtin print -rN -- ${(M)names:#@CUR@*} >@REPLY@
)
__kimi_same; } </dev/null >/dev/null 2>&1
"""
_ZSH_COMMANDS = "${(k)commands} ${(k)aliases} ${(k)functions} ${(k)builtins} $reswords"
_ZSH_VARIABLES = r"\$${(k)^parameters}"
_FISH = "set -g __kimi_saved $status; complete -C @LINE@ >@REPLY@ 2>/dev/null; __kimi_same $__kimi_saved\n"


def _script(kind: str, line: str, typed: Typed) -> str:
    """What the shell runs to complete the word; empty for a shell that can tell nothing. `@REPLY@` is the file for its answer."""
    if kind == "bash":
        words = " ".join(shlex.quote(word) for word in (*typed.words, typed.last))
        script = _BASH.replace("@NUMBER@", str(len(typed.words))).replace("@MOST@", str(MOST))
        return script.replace("@WORDS@", words).replace("@LINE@", shlex.quote(line))
    if kind == "zsh" and (typed.last.startswith("$") or (not typed.words and "/" not in typed.last)):
        names = _ZSH_VARIABLES if typed.last.startswith("$") else _ZSH_COMMANDS
        return _ZSH.replace("@NAMES@", names).replace("@CUR@", shlex.quote(typed.last))
    if kind == "fish":
        escaped = line.replace("\\", "\\\\").replace("'", "\\'")
        return _FISH.replace("@LINE@", f"'{escaped}'")
    return ""


def _read(kind: str, reply: str, typed: Typed) -> list[Found]:
    """What the shell answered: text, what it is, whether a space follows."""
    if kind == "fish":
        rows = (row.partition("\t") for row in reply.splitlines() if row)
        return [Found(text, help_, not text.endswith(("/", "="))) for text, _, help_ in rows]
    options, *texts = reply.split("\0") if kind == "bash" else ("", *reply.split("\0"))
    space = " nospace " not in options
    texts = [text for text in texts if text and not text.startswith("__kimi_")]
    raw = kind == "bash" and " filenames " not in options
    return [Found(text.rstrip(" ") if space else text, "", space and not text.endswith("="), raw) for text in texts]


def _place(shell: UserShell, path: str) -> Path:
    return shell.home / path[2:] if path.startswith("~/") else shell.cwd / path


def _files_and_programs(typed: Typed, shell: UserShell) -> list[Found]:
    begun, slash, name = typed.last.rpartition("/")
    found: list[str] = []
    if not typed.words and not slash:
        found += (
            entry
            for folder in shell.search_path.split(os.pathsep)
            for entry in _names(Path(folder), name, programs=True)
        )
    else:
        found += (f"{begun}{slash}{entry}" for entry in _names(_place(shell, begun + slash), name))
    return [Found(text) for text in dict.fromkeys(found)]


def _names(folder: Path, begun: str, *, programs: bool = False) -> Iterator[str]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if not name.startswith(begun) or (name.startswith(".") and not begun):
                continue
            if not programs or (entry.is_file() and os.access(entry.path, os.X_OK)):
                yield name
