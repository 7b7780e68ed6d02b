"""What an answer claims to have checked: "all tests pass", "the build works", "类型检查通过".

Sentence by sentence, and rather too little than too much: hopes, conditions, questions, instructions, quotes and code are none.
"""

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

from kimi_agent.agent.checks import parts

Claim: TypeAlias = Literal["test", "build", "lint", "types", "run", "check"]
"""What is claimed to be fine; `check` is whatever was checked."""

WORDS: dict[Claim, str] = {
    "test": "tests pass", "build": "the build works", "lint": "lint is clean", "types": "types are clean",
    "run": "it runs", "check": "the checks pass",
}  # fmt: skip

LIMIT = 30_000
"""Characters of an answer that are read, from its end."""

_FENCE = re.compile(r"^[ \t]*(```+|~~~+).*?(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_QUOTED = re.compile(
    r"\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|「[^」\n]{1,200}」|«[^»\n]{1,200}»|(?<!\w)'[^'\n]{3,200}'(?!\w)"
)
_SENTENCE = re.compile(r"(?<=[.!?])[)\"'*_]*\s+|(?<=[。！？；])|\n+|(?<=[^\d]);\s+")
_TICKED = re.compile(r"^[✅✓✔]\ufe0f?\s*(.*[^.!。])[.!。]?$", re.DOTALL)
_CLAUSE = re.compile(r",?\s+(?:but|however|although|though|yet)\s+|,\s+(?:and|so|then)\s+|\s[-–—]\s|—|[，；：]|,\s+")

_TEST = r"(?<!a )(?<!each )(?<!no )(?<!any )tests?\b(?: suites?| cases?| runs?)?|(?:test |the )suite\b|\bspecs\b|pytest"
_SUBJECTS: tuple[tuple[Claim, str], ...] = (
    ("types", r"type[- ]?check(?:s|er|ing)?|mypy|pyright|tsc|types\b"),
    ("test", _TEST),
    (
        "lint",
        r"lint(?:er|ers|ing|s)?\b|\bruff\b|eslint|flake8|pylint|clippy|shellcheck|prettier|style checks?|formatting",
    ),
    ("build", r"\bbuild\b|compilation"),
    ("check", r"(?<!type )(?<!type-)(?<!style )\bchecks\b|\bci\b"),
)
# What may follow "pass": else it is another verb ("the tests pass a mock to it").
_AFTER = (
    r"(?=\s*(?:$|[,.;:!()\[\]✅✓✔🎉*_|/]|[-–—]\s|\d|\b(?:now|again|locally|with|without|after|and|but|successfully|cleanly|"
    r"as well|too|also|including|both|under|since|while|here|fine|across|today|over|for|at|"
    r"on (?:python|all|both|linux|my|this|the (?:first|whole))|in (?:\d|about|under|all|both|ci\b|total))\b))"
)
_ADVERBS = r"(?:also |still |now |all |completely |fully )*"
_FINE = re.compile(
    r"\b(?:pass(?:es|ed|ing)?(?! (?:a|an|the|it|its|through|to|on|by|their|no|him|her|this|that)\b)|succeed(?:s|ed)?)"
    rf"{_AFTER}"
    r"|\b(?:is|are|all|came back|comes back|come back|stays?|remains?|back to|went|runs|now)\s+"
    rf"{_ADVERBS}(?:green|clean|happy|ok|successful|error[- ]free){_AFTER}"
    r"|\b(?:reports?|reported|shows?|finds?|found|has|have|gives?|with|are)\s+(?:no|zero|0)\s+"
    r"(?:new |remaining |type |lint )*(?:errors?|issues?|warnings?|problems?|failures?|complaints?|violations?)\b"
    rf"|[:|]\s*(?:all )?(?:pass|passed|passing|green|clean|ok|✅|✓|✔){_AFTER}"
    r"|\b(?:tests?|build|lint|checks?)\s*[:=]?\s*[✅✓✔]|✅|✔",
    re.IGNORECASE,
)
_WHOLE: tuple[tuple[Claim, str], ...] = (
    (
        "test",
        r"\b\d+(?:\s*(?:/|of|out of)\s*\d+)? (?:unit |integration |new |existing )*(?:tests? )?(?:passed|passing)\b",
    ),
    ("test", r"\bpass(?:es|ed|ing)? (?:all |both )(?:of )?(?:the |its |\d+ )*(?:\w+ )?tests\b"),
    ("test", r"\bpass(?:es|ed) the (?:\w+ )?test suite\b|\b(?:0|no) (?:test )?failures\b"),
    (
        "build",
        (
            r"\b(?:build|project|code|package|crate|app|application|it|everything|library|program|binary|module|site)\s+"
            r"(?:now |still |also |all )*(?:builds|compiles|compiled|built)"
            rf"(?: (?:successfully|cleanly|fine|correctly|again)|{_AFTER})"
        ),
    ),
    ("build", rf"\bbuild (?:now |still |also )*(?:works|completes|completed|finishes|finished){_AFTER}"),
    (
        "run",
        (
            r"\b(?:script|program|app|application|server|command|example|demo|cli|tool|service|code|it|binary)\s+"
            r"(?:now |still |also )*(?:runs|ran|starts|started|executes)\s+(?:now |again )?(?:successfully|cleanly|fine|"
            r"correctly|without (?:any )?(?:errors?|issues?|problems?)|as expected|end[- ]to[- ]end)"
        ),
    ),
    (
        "run",
        r"\b(?:verified|confirmed|checked|tested)\s+(?:that\s+)?(?:it|the \w+|everything)\s+(?:now |all )*(?:works|runs)\b",
    ),
    (
        "test",
        r"测试(?:用例|套件)?[^。，；？]{0,12}?(?:通过|成功|全绿)|通过了?(?:所有|全部|这些)?的?(?:单元|集成|现有)?测试",
    ),
    (
        "build",
        r"(?:构建|编译|打包)[^。，；？]{0,14}?(?:通过|成功|没有(?:错误|报错|问题)|无(?:错误|报错))|成功(?:构建|编译|打包)",
    ),
    ("types", r"类型检查[^。，；？]{0,14}?(?:通过|成功|干净|没有?(?:错误|问题|报错)|无(?:错误|问题|报错))"),
    (
        "lint",
        (
            r"(?:lint|代码检查|静态检查|代码规范|格式检查|风格检查)[^。，；？]{0,14}?"
            r"(?:通过|干净|没有?(?:错误|问题|警告)|无(?:错误|问题|警告))"
        ),
    ),
    (
        "run",
        r"(?:程序|脚本|服务|应用|代码|命令)[^。，；？]{0,14}?(?:运行正常|正常运行|成功运行|运行成功|可以运行|跑通)",
    ),
)
_PATTERNS = [(claim, re.compile(pattern, re.IGNORECASE)) for claim, pattern in _WHOLE]
# Anywhere in a sentence they make it no claim.
_ANYWHERE = re.compile(
    r"\b(?:if|whether|unless|until|once|when|whenever|assuming|suppose|supposing|provided|in case|to see|let me|let's|please|"
    r"you can|you could|how to|means?|e\.g\.|for example|what happens|imagine)\b|"
    r"\b(?:previously|originally|before (?:my|the|this|these|any|your)|used to|had|earlier|would have)\b"
    r"|如果|若是|假如|只要|是否|请|确保|直到|之前|原来|原本|例如|比如|吗|呢|一旦|除非",
    re.IGNORECASE,
)
# Before the claim, in its clause.
_BEFORE = re.compile(
    r"\b(?:should|would|could|might|may|must|will|shall|can|cannot|not|never|no longer|ensures?|ensuring|make sure|"
    r"makes sure|making sure|verify|verif(?:ies|ying)|check(?:s|ing)? (?:that|if)|guarantees?|requires?|so that|to make|"
    r"make|makes|making|made|lets?|getting|get|need|needs|want|wants|try|trying|expect|expects|expected|hope|hopes|"
    r"hopefully|probably|likely|presumably|believe|think|unable|without|before|instead of|none|hardly|says?|said|claims?|"
    r"claimed|states?|stated|mentions?|mentioned|according|only|some|most|few|half|that|which|seems?|appears?|confirm|a|"
    r"each|every time|used|do|does|did|until|why|how|goal|plan|next|todo)\b|n't\b|"
    r"不(?!影响|仅|但|过|同|存在)|未|没(?!有?(?:错误|问题|警告|报错))|"
    r"无法|可能|应该|应当|应能|需要|必须|希望|以便|让|使得?|才能|将会?|会(?!话)|能够?(?!力)|等待|待|为了",
    re.IGNORECASE,
)
_CONFIRMED = re.compile(
    r"\b(?:verified|confirmed|checked|confirms|verifying shows|shows|showed|means|ensured|found|see|saw|note|report) that\b|"
    r"\bthat (?:is|was)\b|\b(?:made|did) (?:the|these|this|that|it)\b",
    re.IGNORECASE,
)
_SPOILT = re.compile(
    r"\b(?:except|apart from|other than|besides|fail(?:s|ed|ing|ure)?|broken|skipped because)\b|失败|除了",
    re.IGNORECASE,
)
_SOME_FAILED = re.compile(r"\b[1-9]\d* (?:\w+ )?(?:fail|error)|[1-9]\d* ?个[^。，]{0,6}失败", re.IGNORECASE)
_NO_FAILURE = re.compile(
    r"\b(?:0|no|zero|without(?: any)?) (?:test )?(?:fail(?:ed|ing|ures?)?|errors?)\b", re.IGNORECASE
)
_FIRST_PERSON = re.compile(
    r"\bI(?:'ve| have)? (?:also |just |then )?(?:ran|run|executed|verified|tested|checked)\b|我(?:已经?)?(?:运行|跑|执行|验证)"
)


_ALL = re.compile(r"\b(?:all|every|everything|full|whole|entire)\b|所有|全部|全|均", re.IGNORECASE)


def claims(text: str) -> list[Claim]:
    """What the text claims, each once, in the order of the text."""
    found: dict[Claim, None] = {}
    for sentence in _sentences(text):
        found.update(dict.fromkeys(_of_sentence(sentence)))
    if len(found) > 1:
        found.pop("check", None)
    return list(found)


def says_all(text: str) -> bool:
    """Whether the text says of all tests that they pass, and of none that it fails."""
    said = [sentence for sentence in _sentences(text) if "test" in _of_sentence(sentence)]
    return any(_ALL.search(sentence) for sentence in said) and not _SPOILT.search(_NO_FAILURE.sub("", text))


def says_it_ran(text: str) -> bool:
    """Whether the text says in the first person that something was run."""
    return any(_FIRST_PERSON.search(sentence) for sentence in _sentences(text))


def _sentences(text: str) -> Iterator[str]:
    """Without code blocks, quotes, headings' marks and questions; a command in backquotes is what it checks."""
    text = _FENCE.sub("\n", text)[-LIMIT:]
    text = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith(">"))
    text = _QUOTED.sub(" QUOTE ", _CODE.sub(_named, text)).replace("**", "").replace("__", "")
    for sentence in _SENTENCE.split(text):
        sentence = sentence.strip(" \t#*-•")
        if sentence and not sentence.endswith(("?", "？")) and not sentence.startswith("[ ]"):
            yield _TICKED.sub(r"\1 ✅", sentence)


def _named(code: re.Match[str]) -> str:
    if len(code[2]) > 200:
        return "CODE"
    kinds = [kind for part in parts(code[2]) for kind in part.kinds if kind != "run"]
    return {"test": "the tests", "build": "the build", "lint": "lint", "types": "mypy"}[kinds[0]] if kinds else "CODE"


def _of_sentence(sentence: str) -> Iterator[Claim]:
    if _ANYWHERE.search(sentence) or _SOME_FAILED.search(sentence):
        return
    for clause in _clauses(sentence):
        plain = _NO_FAILURE.sub("ok", clause)
        if _SPOILT.search(plain):
            continue
        for claim, position in _of_clause(clause):
            if not _BEFORE.search(_CONFIRMED.sub("", clause[:position])):
                yield claim


def _clauses(sentence: str) -> Iterator[str]:
    """Clauses; the parts of a list ("tests, lint and types pass") stay together."""
    whole = sentence
    subject = "|".join(pattern for _, pattern in _SUBJECTS)
    whole = re.sub(rf"({subject}),\s+(?=(?:and\s+)?(?:the\s+)?(?:{subject}))", r"\1 & ", whole, flags=re.IGNORECASE)
    yield from (clause.strip() for clause in _CLAUSE.split(whole) if clause.strip())


def _of_clause(clause: str) -> Iterator[tuple[Claim, int]]:
    """What a clause says is fine, with the place up to which a word may take it back."""
    for claim, whole in _PATTERNS:
        if match := whole.search(clause):
            yield claim, match.start() if match[0].isascii() else match.end()
    start = 0
    for fine in _FINE.finditer(clause):
        for claim, subject in _SUBJECTS:
            if re.search(subject, clause[start : fine.end()], re.IGNORECASE):
                yield claim, fine.start()
        start = fine.end()
