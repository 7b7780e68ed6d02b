"""Patterns of paths, hosts and MCP tools."""

import functools
import os
import re
import unicodedata
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from kimi_agent.core.globs import glob_regex, split_literal

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\Z")
_IN_TEXT = re.compile(r"://([^\s/'\"`;|&<>()]+)")


# --- paths ------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def path_regex(pattern: str, root: str) -> re.Pattern[str]:
    """Matches real absolute paths. Relative patterns are below `root`; one without `/` is a name at any depth below any folder.

    Links in the part without wildcards are followed. Raises ValueError for what is no pattern.
    """
    if pattern.startswith("~"):
        pattern = os.path.expanduser(pattern)  # noqa: PTH111 - Path would raise for ~nobody
    if "/" not in pattern.rstrip("/"):
        return glob_regex("**/" + pattern.rstrip("/"))
    literal, rest = split_literal(pattern)
    whole = Path(root, literal)
    if not re.search(r"[*?\[{]", rest):
        return glob_regex(_escaped(os.path.realpath(whole / rest)))
    return glob_regex(f"{_escaped(os.path.realpath(whole))}/{rest}")


def _escaped(path: str) -> str:
    return re.sub(r"([*?\[\]{}\\])", r"\\\1", path.lstrip("/"))


def path_allowed(pattern: str, path: str, root: str) -> bool:
    """Whether a rule that allows covers this very path. A name alone counts below `root` only."""
    anywhere = "/" not in pattern.rstrip("/")
    if anywhere and not path.startswith(root.rstrip("/") + "/"):
        return False
    return bool(path_regex(pattern, root).fullmatch(path.lstrip("/")))


def path_forbidden(pattern: str, path: str, root: str) -> bool:
    """Whether a rule that forbids is about this path, or about a folder that it lies in; capitals do not count."""
    for form in {pattern, pattern.casefold()}:
        regex = path_regex(form, root)
        for spelling in {path, path.casefold()}:
            if any(regex.fullmatch(part) for part in _with_folders(spelling.lstrip("/"))):
                return True
    return False


def _with_folders(path: str) -> Iterator[str]:
    yield path
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


def within_reach(pattern: str, word: str, folder: str, root: str) -> bool | None:
    """Whether a word of a command names what a pattern is about: a path, also behind `=`, `:` or the letter of a flag.

    None: it may, where the shell makes a path of it (`$x`, `*`).
    """
    maybe = False
    for piece in {word, *re.split(r"[=:,]", word), word[2:] if word.startswith("-") else word}:
        if not piece or len(piece) > 4096 or piece == "-":
            continue
        expanded = os.path.expanduser(piece) if piece.startswith("~") else piece  # noqa: PTH111
        wild = re.search(r"[*?\[{\0]", expanded)
        if wild is None:
            lexical = os.path.normpath(os.path.join(folder, expanded))  # noqa: PTH118
            if any(path_forbidden(pattern, path, root) for path in {os.path.realpath(lexical), lexical}):
                return True
        elif _overlap(pattern, os.path.join(folder, expanded[: wild.start()]), root):  # noqa: PTH118
            maybe = True
    return None if maybe else False


def _overlap(pattern: str, beginning: str, root: str) -> bool:
    """Whether paths that begin so may be among those of a pattern."""
    folder = os.path.realpath(beginning if beginning.endswith("/") else os.path.dirname(beginning))  # noqa: PTH120
    if "/" not in pattern.rstrip("/"):
        return False  # a name at any depth: every wildcard might reach it
    literal, _ = split_literal(pattern)
    base = os.path.realpath(Path(root, os.path.expanduser(literal)))  # noqa: PTH111
    return folder == base or folder.startswith(base.rstrip("/") + "/") or base.startswith(folder.rstrip("/") + "/")


# --- hosts ------------------------------------------------------------------------------------------------------------


def host_of(url: str) -> str:
    """The host of an address in small letters, without a port and a dot at its end; empty for what has none."""
    try:
        host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""
    return host.rstrip(".").casefold()


def hosts_in(text: str) -> set[str]:
    """Hosts of the addresses that stand in a command line."""
    return {host_of(found) for found in _IN_TEXT.findall(text)}


def host_allowed(pattern: str, url: str) -> bool:
    """Label by label: `example.org` is this host alone, `*.example.org` those below it. Only plain hosts match at all."""
    wanted, host = _host_pattern(pattern), host_of(url)
    if not _HOST.match(host):
        return False
    if "://" in pattern:
        return host == host_of(pattern) and fnmatchcase(url, pattern)
    if wanted.startswith("*."):
        return host.endswith(wanted[1:]) and len(host) > len(wanted) - 1
    return wanted in ("*", host)


def host_forbidden(pattern: str, host: str) -> bool:
    """As above, and hosts below the one that is named too; letters that look alike count as one."""
    wanted = _host_pattern(pattern).removeprefix("*.")
    wanted = host_of(wanted) or wanted
    plain = unicodedata.normalize("NFKC", host).rstrip(".").casefold()
    return any(name == wanted or name.endswith(f".{wanted}") or wanted == "*" for name in (host, plain))


def _host_pattern(pattern: str) -> str:
    return pattern.removeprefix("domain:").strip().casefold().rstrip(".")


# --- MCP tools and widenings ------------------------------------------------------------------------------------------


def tool_matches(pattern: str, target: str, *, widely: bool) -> bool:
    """`server/tool`, either with `*`; a server alone stands for all its tools."""
    server, slash, tool = pattern.partition("/")
    has_server, _, has_tool = target.partition("/")
    names = [(server, has_server), (tool if slash else "*", has_tool)]
    if widely:
        names = [(a.casefold(), b.casefold()) for a, b in names]
    return all(fnmatchcase(has, wanted) for wanted, has in names)


def widening_matches(pattern: str, target: str, root: str, *, widely: bool) -> bool:
    """`host`, `net:HOST`, `write:PATH`."""
    kind, colon, what = pattern.partition(":")
    has_kind, _, has = target.partition(":")
    if kind != has_kind:
        return False
    if not colon or what == "*":
        return not colon or widely
    if kind == "net":
        return host_forbidden(what, host_of(has)) if widely else host_allowed(what, has)
    return path_forbidden(what, has, root) if widely else path_allowed(what, has, root)
