"""Which git commands only read, and in which repositories git runs nothing that the repository names.

A repository's configuration may name programs: fsmonitor, hooks, external diffs, textconv, filters, pagers, gpg. The environment
of core/git_env.py switches off what it can; for the rest the configuration must hold nothing but keys that are known here.
"""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from kimi_agent.rules.readonly import Use

CONFIG_BYTES = 64_000

_SHOWN = (
    "--stat --shortstat --numstat --summary --name-only --name-status --patch --no-patch --oneline --decorate"
    " --no-decorate --graph --all --branches --tags --remotes --merges --no-merges --first-parent --reverse --follow"
    " --abbrev-commit --no-abbrev-commit --date-order --topo-order --author-date-order --no-color --color --word-diff"
    " --ignore-all-space --ignore-space-change --ignore-blank-lines --minimal --patience --histogram --cached --staged"
    " --quiet --exit-code --check --raw --full-index --no-renames --find-renames --no-ext-diff --no-textconv"
    " --relative-date --no-prefix --compact-summary --dirstat --cc --cherry-pick --left-right --boundary --parents"
    " --children --source --merge-base --no-relative --pickaxe-all --invert-grep --regexp-ignore-case"
    " --extended-regexp --fixed-strings --no-notes --no-mailmap --full-history --dense --show-pulls -p -s -z -w -b -i"
    " -E -F -R -M -C -q -c -m -u"
)
_SHOWN_VALUED = (
    "--pretty --format --since --until --after --before --author --committer --grep --max-count --skip --date --abbrev --decorate"
    " --unified --diff-filter --stat --color --word-diff --word-diff-regex --inter-hunk-context --diff-algorithm --find-renames"
    " --branches --tags --remotes --exclude --glob --encoding --stat-width --stat-name-width --stat-count --ignore-matching-lines"
)


class Sub(Struct, frozen=True):
    """A subcommand: flags, those with `=value`, short ones whose value is the next word, how many operands it may have."""

    flags: str = ""
    valued: str = ""
    short_valued: str = ""
    most: int = 100
    counts: bool = False  # -5
    needs: str = ""  # one of these flags
    verb: str = ""  # the first word, where there is any
    verb_needed: bool = False


_LOG = Sub(_SHOWN, _SHOWN_VALUED, "-n -U -S -G", counts=True)
SUBCOMMANDS: dict[str, Sub] = {
    "status": Sub(
        "-s -b -u -uno -unormal -uall -z -v --short --branch --long --show-stash --porcelain --verbose --ahead-behind --renames"
        " --no-ahead-behind --no-renames --ignored --no-column --column",
        "--porcelain --untracked-files --ignored --find-renames --column",
    ),
    "log": _LOG,
    "diff": _LOG,
    "show": _LOG,
    "shortlog": Sub("-s -n -e -c --summary --numbered --email --committer --all --no-merges", "--since --until --author --group"),
    "reflog": Sub("--all --oneline", "--since --format --pretty", "-n", counts=True, verb="show"),
    "rev-list": Sub("--count --all --oneline --no-merges --merges --first-parent --reverse --left-right",
                    "--max-count --since --until --author --grep", "-n", counts=True),
    "rev-parse": Sub("--show-toplevel --abbrev-ref --short --verify --quiet -q --git-dir --is-inside-work-tree --show-prefix"
                     " --symbolic-full-name --absolute-git-dir --is-bare-repository --show-cdup --all --branches",
                     "--short --abbrev-ref"),
    "describe": Sub("--tags --all --always --long --contains --exact-match", "--abbrev --match --candidates"),
    "blame": Sub("-l -s -e -w -f -n -c -t --porcelain --line-porcelain --show-email --show-name --show-number", "--since --date"
                 " --abbrev", "-L"),
    "ls-files": Sub("-c -o -m -d -k -t -v -z --cached --others --modified --deleted --exclude-standard --full-name"
                    " --error-unmatch --directory", "--abbrev"),
    "ls-tree": Sub("--name-only --name-status -r -d -t -z --full-name --full-tree", needs="--name-only --name-status"),
    "branch": Sub("-a -r -v -vv -l --list --all --remotes --verbose --show-current --no-color --no-column",
                  "--sort --format --contains --merged --no-merged --points-at --color", most=0),
    "tag": Sub("-l -n --list --no-column", "--sort --format --contains --merged --points-at", most=100, needs="-l --list"),
    "remote": Sub("-v --verbose", most=0),
    "stash": Sub("--oneline", "--format --pretty --date", counts=True, verb="list", verb_needed=True),
    "worktree": Sub("--porcelain -v -z", verb="list", verb_needed=True, most=0),
    "merge-base": Sub("-a --all --is-ancestor --fork-point --octopus --independent"),
    "name-rev": Sub("--tags --all --name-only --always", "--refs"),
    "show-ref": Sub("--head --heads --tags -d --dereference -s --hash --verify -q --quiet", "--hash --abbrev"),
    "for-each-ref": Sub("", "--format --sort --count --contains --merged --no-merged --points-at"),
    "count-objects": Sub("-v -H --verbose --human-readable", most=0),
    "cat-file": Sub("-t -s -e", needs="-t -s -e"),
    "grep": Sub("-n -i -w -v -c -l -L -h -H -o -q -E -F -G -P -I --cached --line-number --ignore-case --word-regexp"
                " --count --name-only --files-with-matches --show-function --heading --break -p -W --and --or --not --all-match",
                "--max-count --max-depth", "-e -A -B -C -m", counts=True),
    "version": Sub(most=0),
    "check-ignore": Sub("-v -q --verbose --quiet -n --no-index"),
}  # fmt: skip
_GLOBAL = ("--no-pager", "-P", "--no-optional-locks", "--literal-pathspecs", "--no-replace-objects")

_HEX = re.compile(r"[0-9a-f]{4,64}\Z", re.IGNORECASE)
_KNOWN_KEYS = re.compile(
    r"core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol|safecrlf"
    r"|quotepath|untrackedcache|longpaths|abbrev|preloadindex|protecthfs|protectntfs)"
    r"|remote\..+\.(url|fetch|pushurl|gh-resolved|tagopt|prune)"
    r"|branch\..+\.(remote|merge|rebase|pushremote|description|gk-.*|vscode-.*)"
    r"|user\.(name|email)|init\.defaultbranch|pull\.(rebase|ff)|push\.(default|autosetupremote|followtags)|fetch\.(prune|prunetags)"
    r"|(color|advice|column|gui)\..*|rerere\.enabled|merge\.(conflictstyle|ff)|rebase\.(autostash|autosquash)|commit\.verbose"
    r"|diff\.(algorithm|renames|colormoved|mnemonicprefix|context)|log\.(date|decorate|abbrevcommit)|index\.version|gc\.auto",
)
_SECTION = re.compile(r'\[\s*([A-Za-z0-9.-]+)\s*(?:"((?:[^"\\]|\\.)*)")?\s*\]\s*([#;].*)?\Z')
_KEY = re.compile(r"([A-Za-z][A-Za-z0-9-]*)\s*(?:=\s*(.*))?\Z")


def git_use(words: Sequence[str]) -> Use | str:
    """What `git ...` reads, or in words why it is not known to read only."""
    rest = list(words[1:])
    while rest and rest[0] in _GLOBAL:
        rest.pop(0)
    name = rest.pop(0) if rest else ""
    if name == "--version" and not rest:
        return Use([], [])
    sub = SUBCOMMANDS.get(name)
    if sub is None:
        return f"`git {name[:40]}` is not known to read only"
    if sub.verb and rest[:1] != [sub.verb] and (rest or sub.verb_needed):
        return f"git {name}: only `git {name} {sub.verb}` is known to read only"
    words_of = _told_apart(name, sub, rest[1:] if sub.verb else rest)
    if isinstance(words_of, str):
        return words_of
    flags, operands, paths = words_of
    named = [*operands, *paths]
    if sub.needs and flags.isdisjoint(sub.needs.split()) and (named or flags or name != "tag"):
        return f"git {name}: without one of {sub.needs} it is not known to read only"
    if len(named) > sub.most:
        return f"git {name}: with operands it is not known to read only"
    if name == "show" and any(_HEX.match(operand) for operand in operands):
        return "git show: an id may be that of any file"
    return _paths_of(name, named)


def _told_apart(name: str, sub: Sub, words: Sequence[str]) -> tuple[set[str], list[str], list[str]] | str:
    """Flags, operands, and paths after `--`; in words what is wrong with a flag."""
    flags, operands, paths = set[str](), list[str](), list[str]()
    rest = iter(words)
    for word in rest:
        if word == "--":
            paths += rest
        elif word in sub.flags.split():
            flags.add(word)
        elif word in sub.short_valued.split():
            next(rest, "")
        elif not word.startswith("-"):
            operands.append(word)
        elif not _good_flag(sub, word):
            return f"git {name}: the flag {word.partition('=')[0][:40]} is not known to read only"
    return flags, operands, paths


def _good_flag(sub: Sub, word: str) -> bool:
    name, equals, value = word.partition("=")
    if equals:
        return name in sub.valued.split() and "%G" not in value and "signature" not in value.lower()
    counts = word[:2] in sub.short_valued.split() and word[:2] in ("-n", "-U", "-A", "-B", "-C", "-m")
    return (sub.counts and word[1:].isdecimal()) or (counts and word[2:].isdecimal())


def _paths_of(name: str, named: list[str]) -> Use | str:
    """Operands may be revisions or files: each is looked at as a file. `REVISION:PATH` shows the content of one."""
    inner = [word.partition(":")[2] for word in named if ":" in word]
    if any(not part or part.startswith((":", "(", "/", "!", "^")) or "%" in part for part in inner):
        return f"git {name}: a path with magic in it"
    shows = name in ("log", "diff", "show", "grep", "blame", "status", "stash", "reflog")
    return Use([], [] if shows else named, [*named, *inner] if shows else [])


# --- the repository ---------------------------------------------------------------------------------------------------


def repository_problem(folder: str, roots: Sequence[str]) -> str:
    """Why git may run something in the repository around `folder`, which lies in one of `roots`; empty when it does not."""
    place = Path(folder)
    while True:
        if not any(place.is_relative_to(root) for root in roots):
            return "no repository begins inside of the workspace"
        try:
            found = os.lstat(place / ".git")
        except FileNotFoundError:
            if all((place / name).exists() for name in ("HEAD", "objects", "refs")):
                return f"{place.name} is a repository without a working tree"
            place = place.parent
            continue
        except OSError as error:
            return f"the repository cannot be looked at: {error.strerror}"
        break
    if not stat.S_ISDIR(found.st_mode):
        return "the repository is elsewhere (.git is a file or a link)"
    if found.st_uid != os.geteuid():
        return "the repository belongs to somebody else"
    return _git_folder_problem(place / ".git")


_PLACEHOLDERS = {"commondir": b".\n", "config.worktree": b""}
"""What the box has there while git changes the repository. It says nothing."""


def _is_placeholder(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode) and path.read_bytes() == _PLACEHOLDERS.get(path.name)
    except OSError:
        return False


def _git_folder_problem(folder: Path) -> str:
    for name in ("commondir", "config.worktree", "modules", "objects/info/alternates"):
        if os.path.lexists(folder / name) and not _is_placeholder(folder / name):
            return f"the repository has a {name}, which is not looked at"
    try:
        attributes = (folder / "info" / "attributes").read_bytes()[:CONFIG_BYTES]
        if attributes.strip():
            return "the repository has attributes of its own (.git/info/attributes)"
    except OSError:
        pass
    try:
        with (folder / "config").open("rb") as file:
            text = file.read(CONFIG_BYTES + 1).decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError):
        return "the repository's configuration cannot be read"
    unknown = _unknown_key(text) if len(text) <= CONFIG_BYTES else "so much"
    return f"the repository's configuration sets {unknown}, which may run a program" if unknown else ""


def _unknown_key(text: str) -> str:
    """The first key, or line, of a configuration that is not known to be harmless; empty when there is none."""
    section = ""
    for raw in text.replace("\r\n", "\n").split("\n"):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if match := _SECTION.match(line):
            section = match[1] + (f".{match[2]}" if match[2] is not None else "")
            continue
        key = _KEY.match(line)
        if key is None or line.endswith("\\"):
            return line[:60]
        name = f"{section}.{key[1]}"
        if not _KNOWN_KEYS.fullmatch(name.lower()) or (name.lower() == "core.bare" and (key[2] or "true") != "false"):
            return name[:60]
    return ""
