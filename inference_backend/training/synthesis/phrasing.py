"""Requests in many words: templates with alternatives, quoting, politeness and a few slips of the pen.

A template is a line such as `{read|open|show me} <path>{| please}`: braces hold alternatives, angle brackets slots. The files
`phrasings_LANGUAGE.txt` hold them under `[family]`, plain ones first; those under `[family held_out]` are never used for
training.
"""

import functools
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from inference_backend.training.synthesis.words import Language

PLAIN = 22
"""The first so many templates of a family are mostly plain: half of training's requests are of these, the others of all."""
PLAIN_SHARE = 0.5
HELD_OUT_TYPO_SHARE = 0.05
TYPO_SHARE = 0.12
"""Of training. More than people make: words are to be read by their letters, too."""
NAKED_SHARE = 0.3
"""How often a text at the end of a request stands there without quotes, as people write it; one bare word does anywhere."""
_WORD = re.compile(r"[A-Za-z0-9]+")
_PARTICLES = re.compile(r"一下|帮我|(?<!别)的|(?<![算除为])了|(?<!申)请|[把将吧]")
_PARTS = re.compile(r"\{([^{}]*)\}|<([a-z_0-9]+)>")
_BEFORE: dict[Language, tuple[Sequence[str], Sequence[str]]] = {
    "en": (
        ("please ", "can you ", "could you ", "I need you to ", "would you ", "quickly ", "please ", "now ", "go and "),
        ("hi, ", "hey, ", "ok, ", "hello: ", "well, "),
    ),
    "zh": (
        ("请", "麻烦", "帮我", "请帮我", "能不能", "麻烦你", "现在", "快点", "请你"),
        ("你好，", "好，", "嗨，", "那么，"),
    ),
}
"""What stands before a request: before one that begins with a verb, and before any other."""
_BEHIND: dict[Language, Sequence[str]] = {
    "en": (" please", ", please", ", thanks", " for me", " now", ". Thank you!"),
    "zh": ("，谢谢", "，好吗", "吧", "，多谢", "，麻烦了", "，辛苦了"),
}
_VERBS = re.compile(
    r"(add|append|calculate|call|change|check|clone|code|commit|compare|copy|correct|count|create|cut|delete|display|do|download|draw"
    r"|drop|duplicate|edit|enumerate|erase|execute|extend|fetch|find|fix|get|give|go|grep|implement|insert|launch|list|load|locate"
    r"|look|make|mend|move|name|open|output|place|print|put|read|remove|rename|repair|replace|run|save|say|search|send|set|show"
    r"|start|store|swap|take|tell|test|throw|trash|turn|update|write)\b|[列显看瞧运执告把将打读输查创新建写在往给删移重复数统测修改让用做下抓保"
    r"访获搜找替编更设展提暂]",
    re.IGNORECASE,
)
_QUOTES: dict[Language, Sequence[tuple[str, str]]] = {
    "en": (("", ""), ("", ""), ("", ""), ("`", "`"), ('"', '"'), ("'", "'")),
    "zh": (("", ""), (" ", " "), (" ", " "), ("`", "`"), ("“", "”"), ("「", "」")),
}
_TEXT_QUOTES: dict[Language, Sequence[tuple[str, str]]] = {
    "en": (('"', '"'), ("'", "'"), ('"', '"'), ("`", "`")),
    "zh": (("“", "”"), ("「", "」"), ('"', '"'), ("‘", "’")),
}
_NEVER_QUOTED = frozenset({"url", "n", "na", "nb", "items", "what", "topic", "person", "place"})
_ASKS = re.compile(
    r"\b(what|what's|which|who|how|where|when|why)\b|^(is|are|do|does|did|has|have|can|i|i'd|there|any)\b|[什哪吗几谁怎]|多少|么$",
    re.IGNORECASE,
)
"""A request that is a question, or a wish: no `please` fits before it."""


class Said(Struct, frozen=True):
    """A request and the template that it came from."""

    text: str
    template: str


class Templates(Struct, frozen=True):
    train: tuple[str, ...]
    held_out: tuple[str, ...]


@functools.cache
def templates(language: Language) -> Mapping[str, Templates]:
    """All templates of a language by family."""
    lists: dict[str, tuple[list[str], list[str]]] = {}
    current: list[str] = []
    for line in Path(__file__).with_name(f"phrasings_{language}.txt").read_text("utf-8").splitlines():
        if head := re.fullmatch(r"\[([a-z_0-9]+)( held_out)?\]", line):
            current = lists.setdefault(head[1], ([], []))[1 if head[2] else 0]
        elif line.strip() and not line.startswith("#"):
            current.append(line)
    return {family: Templates(tuple(train), tuple(held)) for family, (train, held) in lists.items()}


def say(
    rng: random.Random, family: str, language: Language, held_out: bool, slots: Mapping[str, str], *, bare: bool = False
) -> Said:
    """A request of a family. The slot `text` nearly always stands in quotes, `_NEVER_QUOTED` ones never, others sometimes.

    `bare` leaves out politeness and slips, for a part of a longer request.
    """
    both = templates(language)[family]
    lines = both.held_out if held_out else both.train
    plain = not held_out and rng.random() < PLAIN_SHARE
    number = rng.randrange(min(PLAIN, len(lines)) if plain else len(lines))
    quote, text_quote = rng.choice(_QUOTES[language]), rng.choice(_TEXT_QUOTES[language])
    expanded = _alternatives(rng, lines[number])
    at_end = expanded.endswith("<text>")
    naked = not bare and (at_end or _WORD.fullmatch(slots.get("text", "")) is not None) and rng.random() < NAKED_SHARE
    if naked:
        text_quote = ("", "")
    slip = not bare and rng.random() < _slip_share(language, held_out)

    def literal(text: str) -> str:
        nonlocal slip
        said = _slip(rng, text) if slip and language == "en" else _fewer(rng, text) if slip else text
        slip = slip and said == text
        return said

    pieces, at = [], 0
    for match in re.finditer(r"<([a-z_0-9]+)>", expanded):
        pieces.append(literal(expanded[at : match.start()]))
        name = match[1]
        in_command = "/" in (expanded[match.start() - 1 : match.start()], expanded[match.end() : match.end() + 1])
        never = in_command or name in _NEVER_QUOTED
        left, right = ("", "") if never else text_quote if name == "text" else quote
        pieces.append(f"{left}{slots[name]}{right}")
        at = match.end()
    pieces.append(literal(expanded[at:]))
    text = _tight("".join(pieces))
    if not bare:
        text = _polite(rng, text, language, fixed=expanded.lstrip().startswith("<"), closed=naked and at_end)
    return Said(text, f"{family}/{language}/{'h' if held_out else 't'}{number}")


def _alternatives(rng: random.Random, template: str) -> str:
    return re.sub(r"\{([^{}]*)\}", lambda match: rng.choice(match[1].split("|")), template)


def variants(template: str) -> int:
    """In how many ways a template can be said."""
    count = 1
    for match in re.finditer(r"\{([^{}]*)\}", template):
        count *= len(match[1].split("|"))
    return count


_COMMANDS = re.compile(
    r"(ls|mv|cp|rm|mkdir|wc|grep|git|cat|sed|echo|curl|wget|find -|touch|python3?|bash|sh|del|ren)\b"
)


def _polite(rng: random.Random, text: str, language: Language, *, fixed: bool, closed: bool) -> str:
    """With a word of courtesy before or behind it, another end, another case: sometimes. `fixed`: it begins with a name.

    `closed`: it ends with a text, so that nothing may come behind it.
    """
    acts, other = _BEFORE[language]
    asks = text.endswith(("?", "？")) or _ASKS.search(text) is not None
    mood, ends = rng.random(), text.endswith((".", "?", "!", "。", "？", "！", ":", "："))
    if mood < 0.25:
        head = rng.choice(acts if _VERBS.match(text) and not asks else other)
        text = head + (text if fixed or language == "zh" else text[0].lower() + text[1:])
    elif closed:
        pass
    elif mood < 0.4 and not asks and not ends and "\n" not in text:
        text += rng.choice(_BEHIND[language])
    elif mood < 0.7 and not ends:
        text += ("?" if asks else ".") if language == "en" else ("？" if asks else "。")
    if language == "en" and rng.random() < 0.4 and (mood < 0.25 or not fixed) and not _COMMANDS.match(text):
        text = text[0].upper() + text[1:]
    return text.strip()


def _slip_share(language: Language, held_out: bool) -> float:
    if language == "zh":
        return 0.0 if held_out else TYPO_SHARE
    return HELD_OUT_TYPO_SHARE if held_out else TYPO_SHARE


def _fewer(rng: random.Random, text: str) -> str:
    """Chinese with a particle left out, without which it says nearly the same. What holds two names apart stays."""
    particles = list(_PARTICLES.finditer(text))
    if not particles:
        return text
    one = rng.choice(particles)
    fewer = text[: one.start()] + text[one.end() :]
    return fewer if fewer.strip() else text


def _slip(rng: random.Random, text: str) -> str:
    """One word with two letters swapped, or one left out."""
    words = list(re.finditer(r"[a-z]{5,}", text))
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 2)
    if rng.random() < 0.5:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :]


def _tight(text: str) -> str:
    """A text without doubled blanks, and none around Chinese punctuation."""
    text = re.sub(r" {2,}", " ", text).replace(" , ", ", ")
    return re.sub(r"\s*([，。？！、：；])\s*", r"\1", text).strip()
