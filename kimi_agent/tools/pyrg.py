"""The part of ripgrep that Grep and Glob use, as a program of our own for machines where ripgrep cannot be had.

It takes the same options and prints the same bytes. Differences: Python's `re` instead of Rust's regex, a handful of file
types, files with a NUL byte are passed over whole, one thread. It runs as a process so that it can be killed.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from kimi_agent.core.globs import filter_regex
from kimi_agent.core.ignore import parse_rules
from kimi_agent.tools.ignore import IgnoreStack

TYPES = {
    "css": "*.css *.scss",
    "go": "*.go",
    "html": "*.ejs *.htm *.html",
    "java": "*.java *.jsp *.jspx *.properties",
    "js": "*.cjs *.js *.jsx *.mjs *.vue",
    "json": "*.json *.sarif composer.lock",
    "md": "*.markdown *.md *.mdown *.mdwn *.mdx *.mkd *.mkdn",
    "py": "*.py *.pyi",
    "rust": "*.rs",
    "toml": "*.toml Cargo.lock",
    "ts": "*.cts *.mts *.ts *.tsx",
    "yaml": "*.yaml *.yml",
}


def main(argv: Sequence[str], out: BinaryIO) -> int:
    """Exit code as ripgrep's: 0 something was found, 1 nothing, 2 wrong use."""
    options = _parse(argv)
    if options.type and options.type not in TYPES:
        return _wrong(f"rg: unrecognized file type: {options.type}", out)
    if options.files:
        return _print_all((f"{path}\0".encode("utf-8", "surrogateescape") for path in _walk(options)), out)
    flags = re.MULTILINE | (re.IGNORECASE if options.ignore_case else 0) | (re.DOTALL if options.multiline else 0)
    try:
        regex = re.compile(options.regexp, flags)
    except re.error as error:
        return _wrong(f"rg: regex parse error:\n    {options.regexp}\nerror: {error.msg}", out)
    return _print_all(_results(options, regex), out)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for switch in (
        "--no-config",
        "--no-require-git",
        "--no-messages",
        "--hidden",
        "--null",
        "--no-heading",
        "--no-ignore",
    ):
        parser.add_argument(switch, action="store_true")
    for switch in ("--files", "--files-with-matches", "--count-matches", "--line-number", "--no-line-number"):
        parser.add_argument(switch, action="store_true")
    for switch in ("--ignore-case", "--multiline", "--multiline-dotall", "--with-filename", "--max-columns-preview"):
        parser.add_argument(switch, action="store_true")
    for option in ("--sort", "--color", "--glob", "--ignore-file", "--type", "--regexp"):
        parser.add_argument(option, default="")
    for option in ("--before-context", "--after-context", "--max-columns"):
        parser.add_argument(option, type=int, default=0)
    parser.add_argument("path")
    return parser.parse_args(argv)


def _walk(options: argparse.Namespace) -> Iterator[str]:
    """Paths as ripgrep prints them, sorted by their names, folder by folder."""
    if not Path(options.path).is_dir():
        yield options.path
        return
    weakest = parse_rules(Path(options.ignore_file).read_text("utf-8")) if options.ignore_file else []
    wanted = [filter_regex(glob) for glob in TYPES.get(options.type, "").split()]
    top = Path.cwd()
    stack = IgnoreStack.above(top, weakest, not options.no_ignore)
    yield from _walk_folder(top, options.path, stack, wanted, not options.no_ignore)


def _walk_folder(
    folder: Path, shown: str, above: IgnoreStack, wanted: list[re.Pattern[str]], honour: bool
) -> Iterator[str]:
    stack = above.inside(folder) if honour else above
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError:
        return
    for entry in entries:
        is_dir = entry.is_dir(follow_symlinks=False)
        if entry.name == ".git" or stack.ignores(Path(entry.path), is_dir):
            continue
        if is_dir:
            yield from _walk_folder(Path(entry.path), f"{shown}{entry.name}/", stack, wanted, honour)
        elif entry.is_file(follow_symlinks=False) and (not wanted or any(w.fullmatch(entry.name) for w in wanted)):
            yield shown + entry.name


def _results(options: argparse.Namespace, regex: re.Pattern[str]) -> Iterator[bytes]:
    separate = False
    for path in _walk(options):
        try:
            data = Path(path).read_bytes()
        except OSError:
            continue
        if b"\0" in data:
            continue
        found = list(_matches(regex, data.decode("utf-8", "surrogateescape"), options.multiline))
        if not found:
            continue
        name = f"{path}\0".encode("utf-8", "surrogateescape")
        if options.files_with_matches:
            yield name
        elif options.count_matches:
            yield name + b"%d\n" % len(found)
        else:
            rows = list(_rows(options, data.split(b"\n"), found, name))
            context = options.before_context or options.after_context
            yield from [b"--\n"] if separate and context else []
            yield from rows
            separate = True


def _matches(regex: re.Pattern[str], text: str, multiline: bool) -> Iterator[tuple[int, int]]:
    """First and last line (from 0) of each match."""
    if multiline:
        size = len(text)
        for match in regex.finditer(text):
            if match.start() < size or not text:
                yield text.count("\n", 0, match.start()), text.count("\n", 0, max(match.start(), match.end() - 1))
        return
    lines = text.split("\n")
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines):
        for _ in regex.finditer(line):
            yield number, number


def _rows(
    options: argparse.Namespace, lines: list[bytes], found: list[tuple[int, int]], name: bytes
) -> Iterator[bytes]:
    matching = {number for first, last in found for number in range(first, last + 1)}
    count = len(lines) - (lines[-1] == b"")
    shown = sorted(
        {
            number
            for match in matching
            for number in range(match - options.before_context, match + options.after_context + 1)
            if 0 <= number < count
        }
    )
    previous = -1
    for number in shown:
        if previous >= 0 and number > previous + 1 and (options.before_context or options.after_context):
            yield b"--\n"
        previous = number
        sign = b":" if number in matching else b"-"
        prefix = b"" if options.no_line_number else b"%d%s" % (number + 1, sign)
        yield name + prefix + _shortened(lines[number], options.max_columns) + b"\n"


def _shortened(line: bytes, limit: int) -> bytes:
    return line if not limit or len(line) <= limit else line[:limit] + b" [... omitted end of long line]"


def _print_all(pieces: Iterator[bytes], out: BinaryIO) -> int:
    code = 1
    for piece in pieces:
        out.write(piece)
        code = 0
    out.flush()
    return code


def _wrong(message: str, out: BinaryIO) -> int:
    out.write(message.encode("utf-8", "replace") + b"\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdout.buffer))
