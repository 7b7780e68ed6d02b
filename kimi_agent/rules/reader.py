"""Reads a shell text once, from left to right, and takes down every command in it. See scan.py for what it is for."""

import re
from collections.abc import Callable

from msgspec import Struct, field

from kimi_agent.rules.names import GIT_RUNS, KEYWORDS, WRAPPERS
from kimi_agent.rules.shell_text import ansi, braced, bracketed, closing

UNKNOWN = "\0"
"""Stands in a word for text that nobody can tell before the run."""

_OPERATOR = re.compile(r"&&|\|\||;;&|;&|;;|\|&|&>>|&>|[;&|\n\r]")
_REDIRECT = re.compile(r"<<<|<<-|<<|<>|>>|>\||>&|<&|[<>]")
_PLAIN = re.compile(r"[^\s\\'\"$`;&|<>(){}#]+")
_NAME = re.compile(r"\$(?:(\w+)|([@*#?$!-]))")
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=(.*)", re.DOTALL)
_EXPANDING = re.compile(r"[\\`$]")
_FIELD = re.compile(r"IFS\b")
_DEFAULT = re.compile(r"\w+:?[-=+](.*)", re.DOTALL)
_COMMAND_LIKE = re.compile(r"[\s;&|()`$<>]")


class Found(Struct, frozen=True):
    """A command that may be run. `loose`: it runs another one that begins at some later word of it."""

    words: tuple[str, ...]
    loose: bool


class _Frame(Struct):
    """One command that is being read; `closer` ends the frame."""

    closer: str
    words: list[str] = field(default_factory=list)
    word: list[str] = field(default_factory=list)
    started: bool = False  # a word has begun, maybe an empty one
    braces: bool = False  # the word holds an unquoted brace
    redirect: str = ""  # the next word is its target


def name_of(word: str) -> str:
    """The name of the program that a word names, by whatever path."""
    return word.rpartition("/")[2].casefold()


def _is_loose(words: list[str]) -> bool:
    first = words[0]
    if name_of(first) in WRAPPERS or UNKNOWN in first or not KEYWORDS.isdisjoint(words):
        return True
    return name_of(first) == "git" and not GIT_RUNS.isdisjoint(words)


class Reader:
    """Reads one text once, from left to right."""

    def __init__(
        self, text: str, inside: Callable[[str], None], *, comments: bool = False, heredocs: bool = False
    ) -> None:
        """`inside` looks into a script within. `comments`: a `#` that begins a word ends what is read of the line; `heredocs`:
        what follows `<<WORD` is text up to that word. Else both are read as commands."""
        self.text, self.comments, self.heredocs = text, comments, heredocs
        self._endless: set[str] = set()  # words that end nothing from here on
        self._bodies: list[str] = []  # words that end the texts which begin with the next line
        self.found: dict[Found, None] = {}
        self.words: set[str] = set()  # those of redirections too
        self.targets: set[str] = set()  # of output
        self.strings: list[str] = []  # quoted, and so perhaps a command line themselves
        self.values: dict[str, list[str]] = {}
        self._inside = inside
        self.frames = [_Frame("")]
        self.at = 0
        self.whole = True  # every quote and bracket so far has closed

    def read(self) -> None:
        while self.at < len(self.text):
            self._step()
        self.whole = self.whole and len(self.frames) == 1
        while self.frames:
            self._end_command()
            self.frames.pop()

    def _step(self) -> None:
        text, at, frame = self.text, self.at, self.frames[-1]
        char = text[at]
        if match := _PLAIN.match(text, at):
            self._add(match[0])
            self.at = match.end()
        elif char == "\\":
            self._add(text[at + 1 : at + 2].replace("\n", ""))
            self.at = at + 2
        elif char in "'\"`":
            self._quoted(char)
        elif char == "$":
            self._dollar()
        elif char in " \t\v\f":
            self._end_word()
            self.at += 1
        elif match := _OPERATOR.match(text, at):
            self._operator(match[0])
        elif char in "<>":
            self._redirect()
        elif char in "()":
            self._parenthesis(char)
        elif char == "#" and self.comments and not frame.started:
            end = text.find("\n", at)
            self.at = len(text) if end < 0 else end
        else:  # { } # and blanks of other scripts
            self._brace(char)

    def _operator(self, operator: str) -> None:
        self._end_command()
        self.at += len(operator)
        if operator == "\n" and self._bodies:
            self._skip_bodies()
        self.frames[-1].redirect = operator if operator.startswith("&>") else ""

    def _parenthesis(self, char: str) -> None:
        if char == "(":
            self._open(self.at + 1)
            return
        self._end_command()
        if len(self.frames) > 1:
            self.frames.pop()
        self.at += 1

    def _brace(self, char: str) -> None:
        if char.isspace():
            self._end_word()
        else:
            self.frames[-1].braces = self.frames[-1].braces or char == "{"
            self._add(char)
        self.at += 1

    def _add(self, text: str) -> None:
        self.frames[-1].word.append(text)
        self.frames[-1].started = True

    def _open(self, at: int, *, expands: bool = False) -> None:
        """A command within: a subshell, or what an expansion runs."""
        if expands:
            self._add(UNKNOWN)
        else:
            self._end_word()
        self.frames.append(_Frame(")"))
        self.at = at

    def _redirect(self) -> None:
        frame = self.frames[-1]
        match = _REDIRECT.match(self.text, self.at)
        assert match is not None
        if self.text.startswith("(", match.end()):  # <(...)
            self._open(match.end() + 1, expands=True)
            return
        if frame.word and "".join(frame.word).isdecimal():
            frame.word, frame.started = [], False
        self._end_word()
        frame.redirect = match[0]
        self.at = match.end()

    def _skip_bodies(self) -> None:
        for word in self._bodies:
            end = None
            if word not in self._endless:
                end = re.compile(rf"^\t*{re.escape(word)}$", re.MULTILINE).search(self.text, self.at)
            if end is None:
                self.whole = False
                self._endless.add(word)
                continue
            body = self.text[self.at : end.start()]
            self._expanded(body)
            self._keep(body)
            self.at = min(end.end() + 1, len(self.text))
        self._bodies = []

    # --- quotes and expansions ----------------------------------------------------------------------------------------

    def _quoted(self, quote: str) -> None:
        text, at = self.text, self.at
        if quote == "'":
            end = text.find("'", at + 1)
            inner = text[at + 1 : end if end >= 0 else len(text)]
            self._add(inner)
            self._keep(inner)
            self._close(end if end >= 0 else len(text))
            return
        end, inner = closing(text, at + 1, quote)
        self._close(end)
        if quote == "`":
            self._add(UNKNOWN)
            self._inside(re.sub(r"\\([\\$`])", r"\1", inner))
        else:
            self._add(self._expanded(inner))
            self._keep(inner)

    def _close(self, end: int) -> None:
        self.at = end + 1
        self.whole = self.whole and end < len(self.text)

    def _keep(self, string: str) -> None:
        if _COMMAND_LIKE.search(string):
            self.strings.append(string)

    def _expanded(self, inner: str) -> str:
        """The text of a double-quoted string; what it runs is looked into."""
        out: list[str] = []
        at = 0
        while match := _EXPANDING.search(inner, at):
            next_at, char = match.start(), match[0]
            out.append(inner[at:next_at])
            if char == "\\":
                out.append(re.sub(r'\\([$`"\\])', r"\1", inner[next_at : next_at + 2]).replace("\\\n", ""))
                at = next_at + 2
            elif char == "`":
                at, script = closing(inner, next_at + 1, "`")
                self._inside(script)
                out.append(UNKNOWN)
                at += 1
            else:
                at, value = self._variable(inner, next_at)
                out.append(value)
        return "".join(out) + inner[at:]

    def _dollar(self) -> None:
        text, at = self.text, self.at
        following = text[at + 1 : at + 2]
        if following == "'":
            end, inner = closing(text, at + 2, "'")
            self._add(ansi(inner))
            self._keep(ansi(inner))
            self._close(end)
        elif following == '"':
            self.at = at + 1
        elif following == "(":
            self._open(at + 2, expands=True)
        else:
            self.at, value = self._variable(text, at)
            if value == " ":
                self._end_word()
            else:
                self._add(value)

    def _variable(self, text: str, at: int) -> tuple[int, str]:
        """Where a `$...` ends, and what it may stand for: a value assigned in this line, a blank for IFS, else UNKNOWN."""
        if text.startswith("$(", at):
            end, inner = bracketed(text, at + 2, "()")
            self.whole = self.whole and end < len(text)
            self._inside(inner)
            return end + 1, UNKNOWN
        if text.startswith("${", at):
            end, inner = bracketed(text, at + 2, "{}")
            self.whole = self.whole and end < len(text)
            if "$" in inner or "`" in inner:
                self._inside(inner)
            default = _DEFAULT.match(inner)
            name = inner if default is None else re.split(r"\W", inner, maxsplit=1)[0]
            return end + 1, self._value(name, default[1] if default else "")
        match = _NAME.match(text, at)
        if match is None:
            return at + 1, "$"
        return match.end(), self._value(match[1] or "")

    def _value(self, name: str, default: str = "") -> str:
        if _FIELD.match(name):
            return " "
        values = [UNKNOWN] if "IFS" in self.values else self.values.get(name, [])
        return values[-1] if values else default or UNKNOWN

    # --- words and commands -------------------------------------------------------------------------------------------

    def _end_word(self) -> None:
        frame = self.frames[-1]
        if not frame.started:
            return
        word = "".join(frame.word)
        frame.word, frame.started = [], False
        self.words.add(word)
        expanded = list(braced(word)) if frame.braces and "{" in word else []
        frame.braces = False
        if frame.redirect:
            if ">" in frame.redirect:
                self.targets.add(word)
            elif self.heredocs and frame.redirect in ("<<", "<<-"):
                self._bodies.append(word)
            frame.redirect = ""
            return
        frame.words += expanded if len(expanded) > 1 else [word]
        self.words.update(expanded)
        if assigned := _ASSIGNED.fullmatch(word):
            self.values.setdefault(assigned[1], []).append(assigned[2])

    def _end_command(self) -> None:
        self._end_word()
        frame = self.frames[-1]
        words, frame.words, frame.redirect = frame.words, [], ""
        start = next((n for n, word in enumerate(words) if not _ASSIGNED.fullmatch(word)), len(words))
        words = words[start:]
        if not words:
            return
        first = words[0]
        self.found[Found(tuple(words), _is_loose(words))] = None
        if " " in first:  # a variable that held a whole command
            self.found[Found((*first.split(), *words[1:]), loose=True)] = None
