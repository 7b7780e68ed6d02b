"""Commands that are known to read only: for each the flags that were looked at one by one, and what its operands are.

What is not listed is not known; what depends on the user's own PATH (`which`) is not listed, because a proved command does not
see it. `tests/trust/test_readonly.py` runs every command with every flag of this table and compares the files before and after. A
flag is taken only as it stands here: no abbreviations, no other values.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from msgspec import Struct, field

Operands = Literal["files", "names", "text", "pattern", "none"]
"""Operands: files whose content is read, those of which only names and attributes are, text, one pattern and then files."""

NUMBER = re.compile(r"[+-]?\d{1,9}[kKMGbB]?\Z")
WORD = re.compile(r"[\w%+,./:@ =-]{0,200}\Z")
ANY = re.compile(r".{0,1000}\Z", re.DOTALL)


class Reader(Struct, frozen=True):
    """`valued` flags take a value, attached or as the next word, and `long` ones with `=`: `value` says which ones are good.

    `most` is how many operands there may be; `digits`: `-5` is a count; `check` says what else is wrong, in words. Of a command
    that is not `mixed`, flags come first: what comes later may be taken for a file, to write perhaps. With a flag of `deep` it
    reads all that lies below its operands.
    """

    short: str = ""
    valued: str = ""
    long: str = ""
    long_valued: str = ""
    operands: Operands = "files"
    most: int = 100
    least: int = 0
    value: re.Pattern[str] = WORD
    digits: bool = False
    check: Callable[[Sequence[str]], str] | None = None
    mixed: bool = True
    deep: str = ""


class Use(Struct):
    """What one command line reads: `paths` are files of which the content would be shown, of `listed` only names and attributes.

    `tracked` are files or folders of which git shows what it knows; of `trees` all files below are read.
    """

    paths: list[str]
    listed: list[str]
    tracked: list[str] = field(default_factory=list)
    trees: list[str] = field(default_factory=list)


def use_of(words: Sequence[str]) -> Use | str:
    """What the command reads, or in words why it is not known to read only."""
    name, rest = words[0], words[1:]
    known = READERS.get(name)
    if known is None:
        return f"`{name[:40]}` is not known to read only"
    if known.check is not None and (problem := known.check(rest)):
        return f"{name}: {problem}"
    if name == "find":
        return _find_use(rest)
    parsed = _parse(known, rest)
    if isinstance(parsed, str):
        return f"{name}: {parsed}"
    operands, also = parsed.operands, parsed.later_flags
    if not known.least <= len(operands) <= known.most:
        return f"{name}: {len(operands)} operands, where {known.least} to {known.most} are known to be read only"
    match known.operands:
        case "none" | "text":
            return Use([], [])
        case "names":
            return Use([], [*operands, *also])
        case "pattern":
            files = operands if "e" in parsed.valued else operands[1:]
            deep = not parsed.given.isdisjoint(known.deep.split())
            return Use(also, [], trees=files or ["."]) if deep else Use([*files, *also], [])
        case "files":
            return Use([*operands, *also], [])


class _Parsed(Struct):
    """`valued` are the flags that took a value, `given` the others; `later_flags` came after an operand: some systems take them
    for one, too."""

    operands: list[str]
    valued: set[str]
    later_flags: list[str]
    given: set[str]


def _parse(known: Reader, words: Sequence[str]) -> _Parsed | str:
    """The words told apart; in words what is wrong with a flag."""
    parsed = _Parsed([], set(), [], set())
    rest = iter(words)
    for word in rest:
        if word == "--":
            parsed.operands += rest
        elif word == "-" or not word.startswith("-"):
            parsed.operands.append(word)
        elif parsed.operands and not known.mixed:
            return "a flag after a file is taken for another file"
        elif problem := _flag_problem(known, word, rest, parsed):
            return problem
        elif parsed.operands:
            parsed.later_flags.append(word)
    return parsed


def _flag_problem(known: Reader, word: str, rest: Iterator[str], parsed: _Parsed) -> str:
    """What is wrong with a flag; takes its value from `rest` where it has one there."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        if not equals and name in known.long.split():
            parsed.given.add(name)
            return ""
        if equals and name in known.long_valued.split() and known.value.match(value):
            parsed.valued.update("e" if name == "--regexp" else "")
            return ""
        return f"the flag {name[:40]} is not known to read only"
    if known.digits and word[1:].isdecimal():
        return ""
    for position, letter in enumerate(word[1:], 2):
        if letter in known.valued:
            parsed.valued.add(letter)
            value = word[position:] or next(rest, "")
            return "" if known.value.match(value) and value else f"the value of -{letter} is missing or unusual"
        if letter not in known.short:
            return f"the flag -{letter} is not known to read only"
        parsed.given.add(f"-{letter}")
    return ""


# --- checks of single commands ----------------------------------------------------------------------------------------

_PRINT_LINES = re.compile(r"(\d{1,9}(,(\d{1,9}|\$))?|\$)p\Z")


def _sed(words: Sequence[str]) -> str:
    good = len(words) >= 2 and words[0] == "-n" and _PRINT_LINES.match(words[1])
    if good and not any(word.startswith("-") for word in words[2:]):
        return ""
    return "only `sed -n N,Mp FILE` is known to read only"


def _date(words: Sequence[str]) -> str:
    good = all(word in ("-u", "-R", "--utc") or word.startswith("+") for word in words)
    return "" if good else "it may set the clock"


def _jq(words: Sequence[str]) -> str:
    reads = any(
        re.search(r"\b(import|include|modulemeta|env|input_filename|get_search_list)\b|\$ENV", w) for w in words
    )
    return "the filter reads more than its input" if reads else ""


def _xxd(words: Sequence[str]) -> str:
    joined = any(len(word) > 2 and word.startswith("-") for word in words)
    return "flags that are written together are read otherwise" if joined else ""


def _strings(words: Sequence[str]) -> str:
    return "`@FILE` stands for the words in a file" if any(word.startswith("@") for word in words) else ""


# --- find -------------------------------------------------------------------------------------------------------------

_FIND_ALONE = "-print -print0 -prune -empty -depth -true -false -not ! -o -or -a -and ( ) , -mount -xdev"
_FIND_VALUED = (
    "-name -iname -path -ipath -wholename -iwholename -regex -iregex -type -maxdepth -mindepth -size -mtime -mmin -atime"
    " -amin -ctime -cmin -perm -user -group -links -lname"
)


def _find_use(words: Sequence[str]) -> Use | str:
    """The places that find lists. Its expressions are a list of their own: one of them deletes, others run commands or write."""
    places: list[str] = []
    rest = iter(words)
    for word in rest:
        if word.startswith("-") or word in ("!", "(", ")", ","):
            if word in _FIND_VALUED.split():
                next(rest, "")
            elif word not in _FIND_ALONE.split():
                return f"find: {word[:40]} is not known to read only"
        else:
            places.append(word)
    return Use([], places or ["."])


# --- the table --------------------------------------------------------------------------------------------------------

_SUM = Reader("bt", long="--binary --text --tag --zero")
_GREP = Reader(
    "EFGPivwxcLlqsobHhnTaUzyIr", "eABCm",
    "--extended-regexp --fixed-strings --basic-regexp --perl-regexp --ignore-case --invert-match --word-regexp --line-regexp"
    " --count --files-with-matches --files-without-match --quiet --no-messages --only-matching --byte-offset --with-filename"
    " --no-filename --line-number --initial-tab --text --no-ignore-case --color --null --recursive",
    "--include --exclude --exclude-dir --regexp --after-context --before-context --context --max-count --color --label",
    "pattern", value=ANY, digits=True,
    deep="-r --recursive",
)  # fmt: skip

READERS: dict[str, Reader] = {
    # builtins of bash that change nothing
    "echo": Reader("neE", operands="text", value=ANY),
    "pwd": Reader("LP", operands="none", most=0),
    "true": Reader(operands="none", most=0),
    "false": Reader(operands="none", most=0),
    # names and attributes
    "ls": Reader(
        "aAbBcCdfFgGhHiklmnNopqQrRsStuUvxXZ1L", "",
        "--all --almost-all --author --escape --directory --classify --file-type --full-time --group-directories-first"
        " --no-group --human-readable --si --dereference-command-line --inode --kibibytes --dereference --numeric-uid-gid"
        " --literal --hide-control-chars --show-control-chars --quote-name --reverse --recursive --size --color --zero",
        "--block-size --color --format --hide --indicator-style --ignore --quoting-style --sort --time --time-style --width",
        operands="names",
    ),
    "tree": Reader("adfilpsughDFrtcUvCnQNqx", "LPI", "--dirsfirst --noreport --du --si --prune", operands="names", value=ANY),
    "stat": Reader("Ltf", "c", "--dereference --file-system --terse", "--format --printf", "names", value=ANY, least=1),
    "du": Reader("abcDHhklLmPsSx0", "d", "--all --apparent-size --bytes --total --human-readable --si --summarize"
                 " --separate-dirs --one-file-system", "--max-depth --threshold --block-size", "names"),
    "df": Reader("aHhiklPT", "", "--all --human-readable --si --inodes --portability --print-type --total", operands="names"),
    "realpath": Reader("emLPqsz", "", "--canonicalize-existing --canonicalize-missing --logical --physical --quiet --strip"
                       " --zero", operands="names"),
    "readlink": Reader("femnqsvz", "", "--canonicalize --canonicalize-existing --canonicalize-missing --no-newline --zero",
                       operands="names"),
    "find": Reader(),
    # content
    "cat": Reader("AbeEnstTuv", "", "--show-all --number-nonblank --show-ends --number --squeeze-blank --show-tabs"
                  " --show-nonprinting"),
    "tac": Reader("b", "", "--before"),
    "head": Reader("qvz", "nc", "--quiet --silent --verbose --zero-terminated", "--lines --bytes", value=NUMBER, digits=True),
    "tail": Reader("qvz", "nc", "--quiet --silent --verbose --zero-terminated", "--lines --bytes", value=NUMBER, digits=True),
    "wc": Reader("clLmw", "", "--bytes --chars --lines --max-line-length --words"),
    "nl": Reader("p", "bdfhilnsvw", "--no-renumber", "--body-numbering --number-width --number-format --number-separator"),
    "rev": Reader(),
    "fold": Reader("bs", "w", "--bytes --spaces", "--width"),
    "expand": Reader("i", "t", "--initial", "--tabs"),
    "cut": Reader("nsz", "bcdf", "--complement --only-delimited --zero-terminated",
                  "--bytes --characters --delimiter --fields --output-delimiter", value=ANY),
    "paste": Reader("sz", "d", "--serial --zero-terminated", "--delimiters", value=ANY),
    "column": Reader("tx", "sc", "--table", "--separator", value=ANY),
    "sort": Reader("bdfghiMnRrVcCmsuz", "kt",
                   "--ignore-leading-blanks --dictionary-order --ignore-case --general-numeric-sort --human-numeric-sort"
                   " --month-sort --numeric-sort --reverse --version-sort --check --stable --unique --zero-terminated",
                   "--key --field-separator --sort", value=ANY),
    "uniq": Reader("cdDiuz", "fsw", "--count --repeated --ignore-case --unique --zero-terminated",
                   "--skip-fields --skip-chars --check-chars", most=1, mixed=False),
    "comm": Reader("123z", "", "--check-order --nocheck-order --total --zero-terminated", "--output-delimiter", most=2),
    "join": Reader("iz", "aetv12j", "--ignore-case --check-order --header", most=2),
    "diff": Reader("abBcdeEinpqsStTuwyZ", "CUW",
                   "--normal --brief --report-identical-files --context --unified --ed --rcs --side-by-side --left-column"
                   " --suppress-common-lines --show-c-function --expand-tabs --initial-tab --ignore-case"
                   " --ignore-tab-expansion --ignore-space-change --ignore-all-space --ignore-blank-lines --text"
                   " --strip-trailing-cr --minimal --color", "--context --unified --width --color --label",
                   value=WORD, most=2, least=2),
    "cmp": Reader("bls", "n", "--print-bytes --verbose --silent --quiet", "--bytes", value=NUMBER, most=2, least=1),
    "grep": _GREP,
    "egrep": _GREP,
    "fgrep": _GREP,
    "od": Reader("abcdfilosxv", "AjNt", "", "--address-radix --skip-bytes --read-bytes --format --width"),
    "xxd": Reader("abCeiup", "cgls", most=1, check=_xxd, mixed=False),
    "hexdump": Reader("bcCdovx", "ns", most=10),
    "strings": Reader("afow", "nte", "--all --print-file-name", "--bytes --radix --encoding", check=_strings),
    "base64": Reader("di", "w", "--decode --ignore-garbage", "--wrap", value=NUMBER, most=1, mixed=False),
    "md5sum": _SUM, "sha1sum": _SUM, "sha224sum": _SUM, "sha256sum": _SUM, "sha384sum": _SUM, "sha512sum": _SUM,
    "b2sum": _SUM, "cksum": Reader(),
    "file": Reader("bhikLNnr0E", "", "--brief --mime --mime-type --mime-encoding --dereference --no-pad"),
    "jq": Reader("rcnsSeaMCj", "", "--raw-output --compact-output --null-input --slurp --sort-keys --exit-status"
                 " --ascii-output --monochrome-output --color-output --join-output --tab", operands="pattern", check=_jq),
    "sed": Reader("n", operands="pattern", check=_sed),
    # text alone
    "basename": Reader("az", "s", "--multiple --zero", "--suffix", "text", value=ANY, least=1),
    "dirname": Reader("z", "", "--zero", operands="text", least=1),
    "tr": Reader("cCdst", "", "--complement --delete --squeeze-repeats --truncate-set1", operands="text", most=2, least=1),
    "seq": Reader("w", "fs", "--equal-width", "--format --separator", "text", most=3, digits=True),
    "expr": Reader(operands="text", least=1),
    # the machine
    "uname": Reader("amnoprsv", "", "--all --kernel-name --kernel-release --machine --operating-system", operands="none", most=0),
    "whoami": Reader(operands="none", most=0),
    "id": Reader("GZgnruz", "", "--group --groups --name --real --user", operands="text", most=1),
    "groups": Reader(operands="text", most=1),
    "nproc": Reader("", "", "--all", operands="none", most=0),
    "arch": Reader(operands="none", most=0),
    "date": Reader("uR", "", "--utc", operands="text", check=_date),
    "bash": Reader("", "", "--version", operands="none", most=0, check=lambda w: "" if list(w) == ["--version"] else "a shell"),
}  # fmt: skip
"""By name. git has a page of its own (git.py)."""

BUILTIN_READERS = frozenset(("echo", "pwd", "true", "false"))
"""Those that bash runs itself, without a file."""
