"""Grep: contents of files by regular expression."""

import os
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.globs import expand_braces, filter_regex
from kimi_agent.core.secret import is_secret_path
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.recent import newest_first
from kimi_agent.tools.ripgrep import BASE, TIME_LIMIT_S, Rows, find_ripgrep, printable, run_ripgrep, shown_path

_LINE_BYTES = 500  # of one line; what is longer is cut and says so
_PAGE_BYTES = 40_000
_MAX_PAGE = 2000
Lines = Annotated[int, msgspec.Meta(ge=0, le=1000)]


def _described(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class GrepParams(msgspec.Struct, frozen=True):
    pattern: str
    path: Annotated[str, _described("File or folder")] = "."
    glob: Annotated[str | None, _described("Only files like `*.{ts,tsx}` or, from `path`, `src/**/*.py`")] = None
    type: Annotated[str | None, _described("Only files of a type: py, js, rust, ...")] = None
    output_mode: Literal["files_with_matches", "content", "count_matches"] = "files_with_matches"
    after: Lines | None = msgspec.field(name="-A", default=None)
    before: Lines | None = msgspec.field(name="-B", default=None)
    around: Annotated[Lines | None, _described("Lines of context, for `content`")] = msgspec.field(
        name="-C", default=None
    )
    line_numbers: bool = msgspec.field(name="-n", default=True)
    ignore_case: bool = msgspec.field(name="-i", default=False)
    multiline: Annotated[bool, _described("Matches may span lines; `.` matches a line break")] = False
    head_limit: Annotated[int, msgspec.Meta(ge=0, description="Results to return; 0: as many as fit")] = 250
    offset: Annotated[int, msgspec.Meta(ge=0, description="Results to skip")] = 0
    include_ignored: bool = False


class Row(Struct, frozen=True):
    """One result: a file, with a count or a line of it. `gap` says that lines between it and the last row are left out."""

    path: bytes
    text: str = ""
    gap: bool = False


class Grep:
    """`command` runs ripgrep, or what takes its place; by default the best that there is on this machine."""

    name = "Grep"
    description = Path(__file__).with_suffix(".md").read_text("utf-8").strip()
    Params = GrepParams

    def __init__(
        self, command: Sequence[str] | None = None, *, is_private: Callable[[str], bool] = is_secret_path
    ) -> None:
        """`is_private` says of which files nothing is shown, unless they are named."""
        self._command, self._is_private = command, is_private

    def effects(self, params: GrepParams, ctx: ToolContext) -> Sequence[Effect]:
        if "\0" in params.pattern:
            raise ToolError(r"The pattern contains a NUL character: write it as \x00.")
        if any("\ud800" <= char <= "\udfff" for char in params.pattern):
            raise ToolError("The pattern contains a broken character (half of a surrogate pair).")
        return (Effect("read", str(ctx.workspace.resolve(params.path))),)

    async def preview(self, params: GrepParams, ctx: ToolContext) -> Display:
        return Plain(f"{params.pattern} in {params.path}")

    async def run(self, params: GrepParams, ctx: ToolContext) -> ToolOutput:
        target = ctx.workspace.resolve(params.path)
        found = await ctx.workspace.stat(target)
        if found is None:
            raise ToolError(f"No such file or folder: {params.path}")
        if not found.is_dir:
            await ctx.workspace.read(target, 1)  # refuses a pipe or a device, which ripgrep would wait for
        base, name = (target, "") if found.is_dir else (target.parent, target.name)
        guard = _Guard(base, self._is_private, whole=not found.is_dir)
        raw = await self._search(params, ctx, base, f"./{name}", guard)
        rows = _parsed(raw, params)
        if params.output_mode == "files_with_matches":
            order = await newest_first(ctx.workspace, base, [row.path for row in rows])
            rows = [Row(path) for path in order]
        elif params.output_mode == "count_matches":
            rows.sort(key=lambda row: row.path.split(b"/"))
        return _answer(rows, raw, params, base, ctx.workspace.root, guard.note())

    async def _search(self, params: GrepParams, ctx: ToolContext, base: Path, target: str, guard: "_Guard") -> Rows:
        separator = b"\0" if params.output_mode == "files_with_matches" else b"\n"
        # Only lines come in their final order. A filter drops some, so that their number says nothing before the end.
        wanted = _wanted(params) if params.output_mode == "content" and not params.glob else None
        ignore_file = _write_filter(params.glob, ctx.scratch) if params.glob else None
        try:
            command = [*(self._command or find_ripgrep()), *_options(params, ignore_file), target]
            return await run_ripgrep(ctx.workspace, command, base, separator, wanted, guard.keep)
        finally:
            if ignore_file is not None:
                ignore_file.unlink(missing_ok=True)


class _Guard:
    """Keeps what files with secrets hold out of a search of their folder. The gates were told of the folder alone."""

    def __init__(self, base: Path, is_private: Callable[[str], bool], *, whole: bool) -> None:
        """`whole`: the search is of one file, which the gates were told of."""
        self._base, self._is_private, self._whole = base, is_private, whole
        self._known: dict[bytes, bool] = {}

    def keep(self, row: bytes) -> bool:
        if self._whole:
            return True
        path = row.partition(b"\0")[0]
        if path not in self._known:
            self._known[path] = self._is_private(str(self._base / os.fsdecode(path.removeprefix(b"./"))))
        return not self._known[path]

    def note(self) -> str:
        count = sum(self._known.values())
        files = f"{count} {'file that is' if count == 1 else 'files that are'} private (secrets, .kimiignore)"
        return f"matches in {files} are left out; name the file as path to search it" if count else ""


def _wanted(params: GrepParams) -> int:
    """How many rows settle the answer: the page, and one more to know that there is more."""
    return params.offset + min(params.head_limit or _MAX_PAGE, _MAX_PAGE) + 1


def _options(params: GrepParams, ignore_file: Path | None) -> list[str]:
    multiline = params.multiline or "\n" in params.pattern or r"\n" in params.pattern
    options = [*BASE, "--no-heading", "--with-filename"]
    options += ["--ignore-file", str(ignore_file)] if ignore_file else []
    options += ["--no-ignore"] if params.include_ignored else []
    options += ["--type", params.type] if params.type else []
    options += ["--ignore-case"] if params.ignore_case else []
    options += ["--multiline", "--multiline-dotall"] if multiline else []
    if params.output_mode == "files_with_matches":
        options.append("--files-with-matches")
    elif params.output_mode == "count_matches":
        options.append("--count-matches")
    else:
        before = params.before if params.before is not None else params.around
        after = params.after if params.after is not None else params.around
        options += ["--before-context", str(before or 0), "--after-context", str(after or 0), "--sort", "path"]
        options += ["--max-columns", str(_LINE_BYTES), "--max-columns-preview"]
        options.append("--line-number" if params.line_numbers else "--no-line-number")
    return [*options, f"--regexp={params.pattern}"]


def _write_filter(glob: str, scratch: Path) -> Path:
    """`glob` as an ignore file. ripgrep's own `--glob` would bring ignored files back; this one yields to .gitignore."""
    try:
        filter_regex(glob.removeprefix("!"))
    except ValueError as error:
        raise ToolError(f"Invalid glob: {error}") from None
    lines = [glob[1:]] if glob.startswith("!") else ["*", "!*/", *(f"!{one}" for one in expand_braces(glob))]
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = scratch / f"filter-{secrets.token_hex(6)}"
    file.write_text("\n".join(lines) + "\n", "utf-8", "replace")
    return file


def _parsed(raw: Rows, params: GrepParams) -> list[Row]:
    """Raises ToolError for what ripgrep refused; files that it could not read are passed over."""
    if params.output_mode == "files_with_matches":
        rows, other = [Row(path.removeprefix(b"./")) for path in raw.rows], [raw.rest]
    else:
        rows, other, gap = [], [], False
        begun = b""  # of a path with line breaks in it
        for line in raw.rows:
            path, nul, text = line.partition(b"\0")
            if nul:
                rows.append(Row((begun + path).removeprefix(b"./"), printable(text).rstrip("\r"), gap))
                begun = b""
            elif line.startswith(b"./"):
                begun += line + b"\n"
            else:
                other.append(line)
            gap = line == b"--"
    if raw.code == 2 and not rows:
        raise ToolError(_explained(printable(b"\n".join(other)), params))
    return _filtered(rows, params.glob) if params.glob else rows


def _filtered(rows: list[Row], glob: str) -> list[Row]:
    """Without files that a `!` line of a .gitignore let through the filter."""
    regex, negated = filter_regex(glob.removeprefix("!")), glob.startswith("!")
    return [row for row in rows if (regex.fullmatch(printable(row.path)) is None) == negated]


def _explained(message: str, params: GrepParams) -> str:
    if "unrecognized file type" in message:
        return f"Unknown file type {params.type!r}. Use `glob` instead, such as `*.{params.type}`."
    problem = message.rpartition("error: ")[2].strip() or message.strip()
    hint = "To search for text as it is, put a backslash before each of ( ) [ ] { } . * + ? | ^ $ \\"
    if "look-around" in problem or "backreferences" in problem:
        hint = "Search for the plain part with -C and look at the lines."
    return f"The pattern {params.pattern!r} is not a valid regular expression: {problem}{_where(message)}. {hint}"


def _where(message: str) -> str:
    """ripgrep marks the place with carets below the pattern, which it has indented by 4 and wrapped in `(?:` and `)`."""
    marks = re.search(r"^ {7}( *)\^+ *$", message, re.MULTILINE)
    return f" at character {len(marks.group(1))}" if marks else ""


def _answer(rows: list[Row], raw: Rows, params: GrepParams, base: Path, root: Path, guarded: str) -> ToolOutput:
    page = rows[params.offset : params.offset + min(params.head_limit or _MAX_PAGE, _MAX_PAGE)]
    shown, lines = _drawn(page, params.output_mode, base, root)
    end = params.offset + shown
    more = end < len(rows) or not (raw.complete or raw.timed_out)
    notes = [guarded] if guarded else []
    if raw.timed_out:
        notes.append(f"stopped after {TIME_LIMIT_S:g} s, results are incomplete: narrow path or glob")
    if page and more:
        total = f"{len(rows):,}" if raw.complete else "more"
        notes.append(f"results {params.offset + 1}-{end} of {total}; go on with offset={end}")
    if not rows:
        text = "No matches" + ("" if params.include_ignored else " (ignored files were not searched: include_ignored)")
    elif not page:
        text = f"No results at offset {params.offset}: there are {len(rows):,}"
    else:
        text = "\n".join(lines)
    unit = "file" if params.output_mode != "content" else "line"
    plural = "" if shown == 1 and not more else "s"
    summary = f"{shown}{'+' if more else ''} {unit}{plural}" if rows else "no matches"
    return text_output("\n".join([text, *(f"[{note}]" for note in notes)]), Plain(summary))


def _drawn(page: list[Row], mode: str, base: Path, root: Path) -> tuple[int, list[str]]:
    """How many rows fit on the page, and the lines that show them."""
    prefix = shown_path(base, root)
    lead = "" if prefix == "." else f"{prefix.rstrip('/')}/"
    lines: list[str] = []
    size, current = 0, None
    for index, row in enumerate(page):
        path = lead + printable(row.path)
        if mode != "content":
            new = [f"{path}: {row.text}" if row.text else path]
        elif row.path != current:
            new = [*([""] if lines else []), path, row.text]
        else:
            new = [*(["--"] if row.gap else []), row.text]
        current = row.path
        size += sum(len(line) + 1 for line in new)
        if size > _PAGE_BYTES and index:
            return index, lines
        lines += new
    return len(page), lines
