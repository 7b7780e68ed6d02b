"""Drawing a task: names, texts and requests out of one seed, each name once in a task."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from inference_backend.training.synthesis.goals import Goal
from inference_backend.training.synthesis.phrasing import Said, say
from inference_backend.training.synthesis.task import Split, Steps, Task
from inference_backend.training.synthesis.words import Language, pool
from inference_backend.training.synthesis.world import World

T = TypeVar("T")
TEXTS = ("txt", "md")
DATA = ("txt", "md", "csv", "json", "log", "cfg", "yaml", "ini", "toml", "html", "js")
INVENTED = 0.15
"""How often a plain word of a text is an invented one instead."""
TYPED: dict[Language, float] = {"en": 0.0, "zh": 0.25}
"""How often a text file of a request in this language has a name in it."""


class NotDrawn(Exception):
    """A seed from which no task of its family comes: another one is taken."""


class Draw:
    """Everything random in one task. `unseen_names` and `unseen_words` draw from what is held out of training."""

    def __init__(self, seed: int, family: str, language: Language, *, unseen_names: bool, unseen_words: bool) -> None:
        self.rng = random.Random(f"{seed}/{family}/{language}")
        self.seed, self.family, self.language = seed, family, language
        self.unseen_names, self.unseen_words = unseen_names, unseen_words
        self.brief = False
        """Whether texts are of three words at most, and perhaps a number: for tasks that have many of them."""
        self._used: set[str] = set()
        self.template = ""

    # --- words --------------------------------------------------------------------------------------------------------

    def pick(self, options: Sequence[T]) -> T:
        return self.rng.choice(options)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def number(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)

    def _fresh(self, make: Callable[[], str]) -> str:
        """A word that this task has not used yet."""
        for _ in range(200):
            word = make()
            if word not in self._used:
                self._used.add(word)
                return word
        raise NotDrawn(f"{self.family}: no more words")

    def of(self, kind: str, language: Language | None = None) -> str:
        """A word of a list, each once in a task; an invented one when the list is used up."""
        words = pool(kind, language or self.language, self.unseen_names)
        left = [word for word in words if word not in self._used] or pool("invented", "en", self.unseen_names)
        return self._fresh(lambda: self.pick(left))

    def name(self) -> str:
        """A plain name in Latin letters: real or invented."""
        kind = self.pick(("common", "things", "things", "invented", "invented"))
        words = pool(kind, "en", self.unseen_names)
        return self._fresh(lambda: self.pick(words))

    def names(self, count: int) -> list[str]:
        return [self.name() for _ in range(count)]

    def word(self) -> str:
        """A word of texts in the language of the request."""
        if self.language == "zh" and self.chance(0.6):
            return self._typed()
        return self.name()

    def _typed(self) -> str:
        """A Chinese name: real or invented."""
        return self.of(self.pick(("things", "invented")), "zh")

    def sentence(self, low: int = 1, high: int = 6) -> str:
        """A word or a few in the language of the request, with at least one name in them."""
        count = self.number(min(low, 3), min(high, 3)) if self.brief else self.number(low, high)
        plain = pool("plain", self.language, self.unseen_names)
        invented = pool("invented", self.language, self.unseen_names)
        words = [self.pick(invented if self.chance(INVENTED) else plain) for _ in range(count)]
        words[self.rng.randrange(count)] = self.word()
        if self.chance(0.12):
            words.insert(self.rng.randrange(count + 1), self._figure())
        text = ("" if self.language == "zh" else " ").join(words)
        return text if self.language == "zh" else self._written(text)

    def _figure(self) -> str:
        """A number, a time or a date."""
        shape = self.pick(("{}", "{}", "{:02d}:{:02d}", "2{:03d}-{:02d}-{:02d}", "{}%", "{}.{}"))
        return shape.format(self.number(1, 23), self.number(1, 12), self.number(1, 28))

    def _written(self, text: str) -> str:
        """With a capital letter, an end, a comma: sometimes."""
        mood = self.rng.random()
        if mood < 0.2:
            text = text[0].upper() + text[1:]
        if mood < 0.1:
            text += "."
        if 0.3 < mood < 0.4 and text.count(" ") > 2:
            first, _, rest = text.partition(" ")
            text = f"{first}, {rest}"
        return text

    def person(self) -> str:
        return self.of("people") if self.language == "zh" else self.of("people").capitalize()

    def place(self) -> str:
        return self.of("places") if self.language == "zh" else self.of("places").capitalize()

    def value(self) -> str:
        """A name, a person, a place or a number."""
        makers: tuple[Callable[[], str], ...] = (self.word, self.person, self.place, lambda: str(self.number(2, 999)))
        return self.pick(makers)()

    # --- paths --------------------------------------------------------------------------------------------------------

    def stem(self, latin: bool = False) -> str:
        shape, name = self.rng.random(), self.name()
        if not latin and self.language == "zh" and shape < TYPED["zh"]:
            return self._typed()
        if shape < 0.66:
            return name
        if shape < 0.78:
            return f"{name}_{self.name()}"
        if shape < 0.88:
            return f"{name}-{self.name()}"
        if shape < 0.95:
            return f"{name}{self.number(1, 99)}"
        return name.capitalize()

    def folder(self) -> str:
        return self.name()

    def file(
        self, extensions: Sequence[str] = TEXTS, folder: str | None = None, nested: float = 0.25, latin: bool = False
    ) -> str:
        """A path; without a `folder` it lies sometimes in a new one."""
        name = f"{self.stem(latin)}.{self.pick(extensions)}"
        if folder is None and self.chance(nested):
            folder = self.folder()
        return f"{folder}/{name}" if folder else name

    def module(self) -> str:
        """The name of a Python module, without its ending."""
        return self.name() if self.chance(0.7) else f"{self.name()}_{self.name()}"

    def function(self) -> str:
        """The name of a Python function."""
        return self.name() if self.chance(0.6) else f"{self.name()}_{self.name()}"

    def lines(self, low: int, high: int) -> str:
        """A text of so many lines."""
        return "".join(f"{self.sentence()}\n" for _ in range(self.number(low, high)))

    def clutter(self, files: Mapping[str, str], low: int = 0, high: int = 4) -> dict[str, str]:
        """`files` with some others among them, in any order."""
        others = {self.file(DATA): self.lines(1, 5) for _ in range(self.number(low, high))}
        mixed = list((dict(files) | others).items())
        self.rng.shuffle(mixed)
        return dict(mixed)

    # --- requests and answers ---------------------------------------------------------------------------------------------

    def both(self, en: str, zh: str) -> str:
        return zh if self.language == "zh" else en

    def listed(self, items: Sequence[str]) -> str:
        """Items as people list them."""
        if self.language == "zh":
            return "、".join(items)
        return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"

    def say(self, variant: str = "", *, bare: bool = False, **slots: str | int) -> str:
        """A request of this task's family, or of one of its variants, which have templates of their own."""
        family = f"{self.family}_{variant}" if variant else self.family
        texts = {name: str(value) for name, value in slots.items()}
        said: Said = say(self.rng, family, self.language, self.unseen_words, texts, bare=bare)
        self.template = self.template or said.template
        return said.text

    def ask(self, family: str, bare: bool, **slots: str) -> str:
        """A request of any family, as a part of this task."""
        said = say(self.rng, family, self.language, self.unseen_words, slots, bare=bare)
        self.template = self.template or said.template
        return said.text

    def task(
        self,
        world: World,
        turns: str | Sequence[str],
        goal: Goal,
        expert: Callable[[], Steps],
        *,
        refuses: str = "",
    ) -> Task:
        """The finished task. Its id tells the seed, so that the same task has the same id in every dataset."""
        held = self.unseen_names or self.unseen_words
        split: Split = "held_out" if held else "train"
        unseen = [*(("world", "names") if self.unseen_names else ()), *(("phrasing",) if self.unseen_words else ())]
        said = (turns,) if isinstance(turns, str) else tuple(turns)
        name = f"{self.family}-{self.language}-{self.seed:08x}"
        return Task(
            name,
            self.family,
            self.language,
            self.template,
            self.seed,
            split,
            tuple(unseen),
            world,
            said,
            goal,
            expert,
            refuses,
        )
