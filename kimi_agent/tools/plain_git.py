"""Whether a command line is git alone: only then may it change a repository. What is not proved is not."""

import os
import re
from pathlib import Path

_SEPARATOR = re.compile(r" *(?:(?:&&|\|\||\|(?!&))[ \n]*|(?:;|\n)[; \n]*(?![|&]))")
_DISCARDED = re.compile(r"(?:[12]?> ?/dev/null|2>&1)(?=[ \n;|]|&&|$)")
_FILTERS = frozenset({"cat", "cut", "echo", "grep", "head", "ls", "pwd", "tail", "tr", "true", "wc"})
"""Programs that write nowhere but to their output, whatever their arguments are."""
_HEREDOC = r"""<< ?(?P<{0}q>['"])(?P<{0}end>\w+)(?P={0}q)(?=[ \n;|&])"""
_BODY = r"""\n(?P<{0}text>(?:(?![\t ]*(?P={0}end)).*\n)*)(?P={0}end)"""  # no line begins as the end does: no bash ends it sooner
_TEXT = re.compile(rf"""\$\(cat {_HEREDOC.format("c")} *{_BODY.format("c")}\n[ \n]*\)""")
"""`$(cat <<'EOF'`, lines, `EOF`, `)`: in double quotes a literal text."""
_INPUT = re.compile(rf"""{_HEREDOC.format("i")}(?P<rest>[^\n<]*){_BODY.format("i")}(?=\n|$)""")
_WORD = re.compile(rf"""(?:[A-Za-z0-9_@%+:,./^=~-]|\\[ '"]|'[^']*'|"{_TEXT.pattern}"|"(?:[^"$`\\]|\\["\\$`])*")+""")
_PIECE = re.compile(
    rf"""\\(?P<one>.)|'(?P<single>[^']*)'|"{_TEXT.pattern}"|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^'"\\]+)""",
    re.DOTALL,
)
_NO_EDITOR = re.compile(r"GIT_(?:SEQUENCE_)?EDITOR=(?:true|:)")
_CHANGING = frozenset(
    {
        "add", "am", "apply", "bisect", "branch", "checkout", "cherry-pick", "clean", "commit", "describe", "diff", "fetch", "gc",
        "init", "log", "ls-files", "merge", "mv", "notes", "pull", "push", "rebase", "reflog", "remote", "reset", "restore",
        "rev-parse", "revert", "rm", "show", "stash", "status", "submodule", "switch", "tag", "worktree",
    }
)  # fmt: skip
_NEVER = (
    "exec",
    "upload-pack",
    "receive-pack",
    "ext-diff",
    "textconv",
    "template",
    "output",
    "unsafe-paths",
    "separate-git-dir",
)
"""Long options, in any abbreviation, that run another program or write a file of any name."""
_MEANT = frozenset({"--text"})
"""Options that are no abbreviation, though they look like one."""
_RUNS_OTHERS = frozenset({"foreach", "run", "visualize", "view"})


def git_folder(command: str, cwd: Path) -> str:
    """Where the git of a command line that is git alone works; empty when it is not, or works in several places.

    Another repository than the person's may say what git runs: in its company no repository is changed.
    """
    parts = _split(command.strip(" \n")) if is_git_alone(command) else []
    sure = not {";", "||"}.intersection(joint for joint, _ in parts)  # then nothing goes on where `cd` has failed
    folders, found = {os.path.realpath(cwd)}, set()
    for number, (joint, words) in enumerate(parts):
        if words[0] == "cd":
            if "|" in (joint, *(following for following, _ in parts[number + 1 : number + 2])):
                return ""
            target = os.path.expanduser(words[1])  # noqa: PTH111
            moved = {os.path.realpath(os.path.join(folder, target)) for folder in folders}  # noqa: PTH118
            folders = moved if sure else folders | moved
        elif words[0] == "git":
            found |= folders
    return found.pop() if len(found) == 1 else ""


def is_git_alone(command: str) -> bool:
    """Literal words, commands joined by `&&`, `||`, `;`, `|` or line ends, each `cd FOLDER`, a filter or a known command of git.

    Output may go to /dev/null; a literal heredoc is a word or an input like others, as models write the messages of commits. No
    option before git's command (they change which repository and which settings hold), none that runs another program.
    """
    parts = _split(command.strip(" \n"))
    return all(_is_harmless(words) for _, words in parts) and any(words[0] == "git" for _, words in parts)


def _is_harmless(words: list[str]) -> bool:
    if words[0] == "cd":
        return len(words) == 2
    if words[0] in _FILTERS:
        return True
    if words[0] != "git" or len(words) < 2 or words[1] not in _CHANGING:
        return False
    return not any(_is_doubtful(word, words[1]) for word in words[2:])


def _is_doubtful(word: str, command: str) -> bool:
    if word.startswith("--"):
        name = word.partition("=")[0]
        if name not in (*_MEANT, "--") and any(never.startswith(name[2:]) for never in _NEVER):
            return True
    elif command == "rebase" and word.startswith("-") and "x" in word:
        return True
    inside_git = ".git" in re.split("[/=]", word.lower())
    return word in _RUNS_OTHERS or inside_git


def _split(command: str) -> list[tuple[str, list[str]]]:
    """The words of each part, with what joins it to the one before; nothing when something is not literal."""
    parts: list[tuple[str, list[str]]] = [("", [])]
    at = 0 if "\0" not in command else len(command)
    while at < len(command):
        if match := _SEPARATOR.match(command, at):
            if not parts[-1][1]:
                return []
            parts.append((match[0].strip("; \n") or ";", []))
        elif command[at] == " ":
            at += 1
            continue
        elif match := _DISCARDED.match(command, at):
            pass
        elif match := _INPUT.match(command, at):
            command, at = match["rest"] + command[match.end() :], 0
            continue
        elif not (match := _WORD.match(command, at)):
            return []
        elif parts[-1][1] or not _NO_EDITOR.fullmatch(match[0]):
            parts[-1][1].append(_unquoted(match[0]))
        at = match.end()
    return parts if parts[-1][1] else parts[:-1] if parts[-1][0] == ";" else []


def _unquoted(word: str) -> str:
    """A word as bash hands it to a program."""
    return "".join(
        piece["one"]
        or piece["single"]
        or (piece["ctext"] or "").rstrip("\n")
        or re.sub(r'\\(["\\$`])', r"\1", piece["double"] or "")
        or piece["bare"]
        or ""
        for piece in _PIECE.finditer(word)
    )
