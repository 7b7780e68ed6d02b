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
_INDENTED = re.compile(r"^(?: {4,}|\t)(?![-*+|] |\d+[.)]).*$", re.MULTILINE)
# A heading of hopes, with the list below it.
_HOPES = re.compile(
    r"^.*(?:\b(?:acceptance criteria|definition of done|requirements?|plan|to-?do|next steps?|goals?|"
    r"expected|checklist)\b|"
    r"验收标准|目标|计划|下一步|预期|要求)[^\n]{0,20}\n(?:\s*(?:[-*+]|\d+[.)]) .*(?:\n|\Z))+",
    re.MULTILINE | re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])[)\"'*_]*\s+|(?<=[。！？；])|\n+|(?<=[^\d]);\s+")
_TICKED = re.compile(r"^[✅✓✔]\ufe0f?\s*(.*[^.!。])[.!。]?$", re.DOTALL)
_CLAUSE = re.compile(r",?\s+(?:but|however|although|though|yet)\s+|,\s+(?:and|so|then)\s+|\s[-–—]\s|—|[，；：]|,\s+")

_TEST = (
    r"(?<!a )(?<!each )(?<!no )(?<!any )tests?\b(?: suites?| cases?| runs?)?|"
    r"(?:test |the |whole |full |entire )suite\b|\bspecs\b|pytest"
)
_SUBJECTS: tuple[tuple[Claim, str], ...] = (
    ("types", r"type[- ]?check(?:s|er|ing)?|mypy|pyright|tsc|types\b"),
    ("test", _TEST),
    (
        "lint",
        r"lint(?:er|ers|ing|s)?\b|\bruff\b|eslint|flake8|pylint|clippy|shellcheck|prettier|style checks?|formatting",
    ),
    ("build", r"\bbuild\b|compilation"),
    ("check", r"(?<!type )(?<!type-)(?<!style )\bchecks\b"),
)
# What may follow "pass": else it is another verb ("the tests pass a mock to it").
_AFTER = (
    r"(?=\s*(?:$|[,.;:!()\[\]✅✓✔🎉*_|/]|[-–—]\s|\d|\b(?:now|again|locally|with|without|after|and|but|"
    r"successfully|cleanly|"
    r"as (?:well|before|expected)|too|also|including|both|under|since|while|here|fine|across|today|for|at|"
    r"on (?:python|all|both|linux|my|this|the (?:first|whole))|in (?:\d|about|under|all|both|total))\b))"
)
# The same in Chinese, where 通过 is also "by means of", and 成功 begins 成功后, 成功率.
_END = r"(?=了?\s*(?:$|[。，；、！!.,;:：()（）\[\]|✅✓✔🎉]|[并且而也]|\d))"
_ADVERBS = r"(?:also |still |now |all |completely |fully )*"
_FINE = re.compile(
    r"\b(?:pass(?:es|ed|ing)?(?! (?:a|an|the|it|its|through|to|on(?! my\b)|by|their|no|him|her|this|that)\b)|succeed(?:s|ed)?)"
    rf"{_AFTER}"
    r"|\b(?:is|are|all|came back|comes back|come back|stays?|remains?|back to|went|runs|now)\s+"
    rf"{_ADVERBS}(?:green|clean|happy|ok|successful|error[- ]free){_AFTER}"
    r"|\b(?:reports?|reported|shows?|finds?|found|has|have|gives?|with|are)\s+(?:no|zero|0)\s+"
    r"(?:new |remaining |type |lint )*(?:errors?|issues?|warnings?|problems?|failures?|complaints?|"
    r"violations?)\b(?! (?:tab|page|field|column|handling))"
    rf"|[:|]\s*(?:all )?(?:pass|passed|passing|green|clean|ok|✅|✓|✔){_AFTER}"
    r"|\b(?:tests?|build|lint|checks?)\s*[:=]?\s*[✅✓✔]|✅|✔",
    re.IGNORECASE,
)
_WHOLE: tuple[tuple[Claim, str], ...] = (
    (
        "test",
        (
            r"(?<!#)\b[1-9]\d*(?:\s*(?:/|of|out of)\s*\d+)? (?:unit |integration |new |"
            r"existing )*(?:tests? )?(?:passed|passing)\b"
        ),
    ),
    ("test", r"\bpass(?:es|ed|ing)? (?:all |both )(?:of )?(?:the |its |\d+ )*(?:\w+ )?tests\b"),
    ("test", r"\bpass(?:es|ed) the (?:\w+ )?test suite\b|\b(?:0|no) (?:test )?failures\b"),
    (
        "build",
        (
            r"\b(?:build|project|code|package|crate|app|application|it|everything|library|program|binary|"
            r"module|site)\s+"
            r"(?:now |still |also |all )*(?:builds|compiles|compiled|built)"
            rf"(?: (?:successfully|cleanly|fine|correctly|again)|{_AFTER})"
        ),
    ),
    ("build", rf"\bbuild (?:now |still |also )*(?:works|completes|completed|finishes|finished){_AFTER}"),
    (
        "run",
        (
            r"\b(?:script|program|app|application|server|command|example|demo|cli|tool|service|code|it|binary)\s+"
            r"(?:now |still |also )*(?:runs|ran|starts|started|executes)\s+(?:now |again )?(?:successfully|"
            r"cleanly|fine|"
            r"correctly|without (?:any )?(?:errors?|issues?|problems?)|as expected|end[- ]to[- ]end)"
        ),
    ),
    (
        "run",
        (
            r"\b(?:verified|confirmed|checked|tested)\s+(?:that\s+)?(?:it|the \w+|everything)\s+(?:now |"
            r"all )*(?:works|runs)\b"
        ),
    ),
    ("lint", r"\b(?:no|zero|0) (?:new )?lint(?:er|ing)? (?:errors|warnings|issues)\b"),
    ("types", r"\b(?:no|zero|0) (?:new )?type errors\b"),
    ("build", rf"\bbuild successful{_AFTER}"),
    (
        "test",
        (
            rf"测试(?:用例|套件)?[^。，；？]{{0,12}}?(?:通过|成功|全绿){_END}|"
            rf"通过了?(?:所有|全部|这些)?的?(?:单元|集成|现有)?测试(?:用例)?{_END}"
        ),
    ),
    (
        "build",
        (
            rf"(?:构建|编译|打包)[^。，；？]{{0,14}}?(?:(?:通过|成功){_END}|没有(?:错误|报错|问题)|无(?:错误|报错))|"
            rf"成功(?:构建|编译|打包){_END}"
        ),
    ),
    (
        "types",
        rf"类型检查[^。，；？]{{0,14}}?(?:(?:通过|成功){_END}|干净|没有?(?:错误|问题|报错)|无(?:错误|问题|报错))",
    ),
    (
        "lint",
        (
            r"(?:lint|代码检查|静态检查|代码规范|格式检查|风格检查)[^。，；？]{0,14}?"
            rf"(?:通过{_END}|干净|没有?(?:错误|问题|警告)|无(?:错误|问题|警告))"
        ),
    ),
    (
        "run",
        rf"(?:程序|脚本|服务|应用|代码|命令)[^。，；？]{{0,14}}?(?:运行正常|正常运行|成功运行|运行成功|跑通){_END}",
    ),
)
_PATTERNS = [(claim, re.compile(pattern, re.IGNORECASE)) for claim, pattern in _WHOLE]
# Anywhere in a sentence they make it no claim.
_ANYWHERE = re.compile(
    r"\b(?:if|whether|unless|until|once|when|whenever|assuming|suppose|supposing|provided|in case|to see|"
    r"let me|let's|please|"
    r"you can|you could|how to|means?|e\.g\.|for example|what happens|imagine)\b|"
    r"\b(?:previously|originally|before (?:my|the|this|these|any|your)|used to|had|earlier|would have|"
    r"prior to|yesterday|"
    r"last (?:night|week|month|time)|at first|initially|(?:were|was) (?:passing|green))\b"
    r"|\b(?:according to|all but|even though|commit message|in (?:theory|principle)|ideally|unverified|unknown|"
    r"to (?:reproduce|verify)|were the)\b"
    r"|\b(?:acceptance criteria|definition of done|requirements?|expected)\b[^.]{0,12}:"
    r"|(?:\bnot|n't) (?:re-?run|run them|verif(?:y|ied))\b"
    r"|\byour (?:log|output|machine|laptop|side|run|terminal)\b|\byou (?:posted|pasted|shared|said|wrote)\b"
    r"|\bon (?:the )?(?:main|master|old|previous|other|upstream)\b|\bat (?:commit|tag|v?\d)|\bin (?:version|v\d)"
    r"|^(?:先|再)?运行|建议|反馈|提到|表示|预期|期望|验收|目标|假设|理论上|按理|预计|上次|昨天|你说|文档|日志|并非|不是|保证|当.{0,12}时|等.{0,12}再"
    r"|如果|若是|假如|只要|是否|请|确保|直到|之前|原来|原本|例如|比如|吗|呢|一旦|除非",
    re.IGNORECASE,
)
# Before the claim, in its clause.
_BEFORE = re.compile(
    r"\b(?:should|would|could|might|may|must|will|shall|can|cannot|not|never|no longer|ensures?|ensuring|make sure|"
    r"makes sure|making sure|verify|verif(?:ies|ying)|check(?:s|ing)? (?:that|if)|guarantees?|requires?|"
    r"so that|to make|"
    r"make|makes|making|made|lets?|getting|get|need|needs|want|wants|try|trying|expect|expects|expected|hope|hopes|"
    r"hopefully|probably|likely|presumably|believe|think|unable|without|before|instead of|none|hardly|"
    r"says?|said|claims?|"
    r"claimed|states?|stated|mentions?|mentioned|according|only|some|most|few|half|that|which|seems?|"
    r"appears?|confirm|a|"
    r"each|every time|used|do|does|did|until|why|how|goal|plan|next|todo|ought|supposed|meant|have to|"
    r"has to|almost|nearly|all but|usually|sometimes|often|"
    r"neither|where|zero|0 (?:tests|个)|their|upstream|"
    r"i\.e\.|exit code|on success|(?:tests?|build) to|number of|lists?|counts?|prints?|holds|guess|assume|"
    r"reviewed|read|looked|inspected|"
    r"after (?:the |all )*tests?)\b|n't\b|部分|大多|几乎|只有|仅有|除|认为|"
    r"不(?!影响|仅|但|过|同|存在)|未|没(?!有?(?:错误|问题|警告|报错))|"
    r"无法|可能|应该|应当|应能|需要|必须|希望|以便|让|使得?|才能|将会?|会(?!话)|能够?(?!力)|等待|待|为了",
    re.IGNORECASE,
)
_CONFIRMED = re.compile(
    r"\b(?:verified|confirmed|checked|confirms|verifying shows|shows|showed|means|ensured|found|see|saw|"
    r"note|report) that\b|"
    r"\bthat (?:is|was)\b|\b(?:made|did) (?:the|these|this|that|it)\b",
    re.IGNORECASE,
)
_SPOILT = re.compile(
    r"\b(?:except|apart from|other than|besides|fail(?:s|ed|ing|ure)?|broken|skipped because|ci|"
    r"only (?:with|if|when))\b|失败|除了",
    re.IGNORECASE,
)
_SOME_FAILED = re.compile(r"\b[1-9]\d* (?:\w+ )?(?:fail|error)|(?<!\d)[1-9]\d{0,5} ?个[^。，]{0,6}失败", re.IGNORECASE)
_SHARES = (  # "2 of 12 tests", "12 个测试中 10 个"
    re.compile(
        r"(?<![\d/.])(\d{1,6})(?: ?/ ?| (?:out )?of (?:the )?)(\d{1,6})(?![\d/.])(?= ?(?:tests?|passed|passing|pass|✅|个|项))",
        re.IGNORECASE,
    ),
    re.compile(r"(?<!\d)(\d{1,6}) ?[个项][^。，]{0,8}中[^。，\d]{0,4}(\d{1,6}) ?[个项]"),
)
_MENDED = re.compile(r"\bpreviously[- ](?:failing|broken) ", re.IGNORECASE)
_NO_FAILURE = re.compile(
    r"\b(?:0|no|zero|without(?: any)?) (?:test )?(?:fail(?:ed|ing|ures?)?|errors?)\b", re.IGNORECASE
)
_FIRST_PERSON = re.compile(
    r"\bI(?:'ve| have)? (?:also |just |then )?(?:ran|run|executed|verified|tested|checked)\b|我(?:已经?)?(?:运行|跑|执行|验证)"
)
_WORKED = re.compile(
    r"\bI(?:'ve| have)? (?:also |just |then |now )?(?:fixed|changed|added|updated|implemented|refactored|made|removed|rewrote|"
    r"rewritten|replaced|corrected|resolved|repaired|renamed|finished|completed|wrote|created|adjusted|edited)\b|"
    r"^(?:Fixed|Done|Implemented|Finished|Completed)\b(?:(?: it| that| this| the \w+)?\W*$|[,:])|"
    r"我?已经?(?:修复|修改|更新|添加|完成|实现|重构)|我(?:修复|修改|更新|添加|实现|重构)了",
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


def says_it_worked(text: str) -> bool:
    """Whether the text says that its author has changed or finished something."""
    return any(_WORKED.search(sentence) for sentence in _sentences(text))


def _sentences(text: str) -> Iterator[str]:
    """Without code blocks, quotes, headings' marks and questions; a command in backquotes is what it checks."""
    text = _FENCE.sub("\n", text)[-LIMIT:]
    text = _HOPES.sub("\n", _INDENTED.sub("", text))
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
    sentence = _MENDED.sub("", sentence)
    if _ANYWHERE.search(sentence) or _SOME_FAILED.search(sentence):
        return
    if any(some != whole for shares in _SHARES for some, whole in shares.findall(sentence)):
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
    whole = re.sub(r"，(?=(?:结果)?(?:全部|全都|均|都))", "", whole)
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
