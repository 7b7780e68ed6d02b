"""Goals: what must hold of a folder and of an answer when a task is done, as plain data that code checks."""

import re
import subprocess
import sys
import unicodedata
from pathlib import Path

from msgspec import Struct

from inference_backend.training.synthesis.world import tree_of

COMMAND_SECONDS = 60


class Command(Struct, frozen=True):
    """A command that is run in the folder, and what must be in its output.

    The word `python3` stands for the interpreter that runs this. `code` is its exit code.
    """

    argv: tuple[str, ...]
    output: tuple[str, ...] = ()
    code: int = 0


class Goal(Struct, frozen=True):
    """`files`: the whole tree, texts by path; None: not looked at. `free` are paths whose text may be anything, but they must be
    there. `answer`: of each group one alternative must be in the answer; `answer_without`: none of these may be."""

    files: dict[str, str] | None = None
    free: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    answer: tuple[tuple[str, ...], ...] = ()
    answer_without: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()


class Verdict(Struct, frozen=True):
    """`reasons` say what is wrong, one each; empty when the goal is reached."""

    reasons: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.reasons


def check(goal: Goal, folder: Path, answer: str) -> Verdict:
    """Whether a goal is reached in `folder`, by an agent whose last words are `answer`. Runs the goal's commands there."""
    reasons = list(unlike(goal, folder, answer))
    if not reasons:
        reasons += [reason for command in goal.commands if (reason := _wrong_output(command, folder))]
    return Verdict(tuple(reasons))


def unlike(goal: Goal, folder: Path, answer: str) -> tuple[str, ...]:
    """What is wrong with the files and the answer. Runs nothing."""
    return (*_wrong_files(goal, folder), *_wrong_answer(goal, answer))


def _wrong_files(goal: Goal, folder: Path) -> list[str]:
    wrong = [f"there is no folder {name}" for name in goal.folders if not (folder / name).is_dir()]
    if goal.files is None:
        return wrong
    found = tree_of(folder)
    wanted = {path: text for path, text in goal.files.items() if path not in goal.free}
    wrong += [f"{path} is missing" for path in (*wanted, *goal.free) if path not in found]
    wrong += [f"{path} should not be there" for path in found if path not in wanted and path not in goal.free]
    same = (path for path in wanted if path in found)
    wrong += [f"{path} holds {found[path][:200]!r}" for path in same if not _alike(found[path], wanted[path])]
    return wrong


def _alike(found: str, wanted: str) -> bool:
    """Equal but for a line break at the end."""
    return found.removesuffix("\n") == wanted.removesuffix("\n")


def _wrong_answer(goal: Goal, answer: str) -> list[str]:
    said = plain_words(answer)
    wrong = [f"the answer says none of {group}" for group in goal.answer if not any(_says(said, w) for w in group)]
    return wrong + [f"the answer says {words!r}" for words in goal.answer_without if _says(said, words)]


def _says(said: str, words: str) -> bool:
    """A number must stand by itself: 12 is not in 120."""
    wanted = plain_words(words)
    if wanted.isdigit():
        return re.search(rf"(?<![\d.]){wanted}(?!\d|\.\d)", said) is not None
    return wanted in said


def plain_words(text: str) -> str:
    """A text for comparison: lower case, no marks of quoting and emphasis, single blanks, no full-width signs."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"[`*\"“”「」‘’]|(?<!\w)'|'(?!\w)", "", text)
    return re.sub(r"\s+", " ", text).strip()


def _wrong_output(command: Command, folder: Path) -> str:
    try:
        done = subprocess.run(
            argv_of(command), cwd=folder, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{' '.join(command.argv)}: {error}"
    return unexpected(command, done.returncode, done.stdout + done.stderr)


def argv_of(command: Command) -> list[str]:
    return [sys.executable if word == "python3" else word for word in command.argv]


def unexpected(command: Command, code: int | None, said: str) -> str:
    """What is wrong with how a command ended (None: it was killed) and what it said; empty where nothing is."""
    if code != command.code:
        return f"{' '.join(command.argv)} ended with {code}: {said[-300:]}"
    missing = [text for text in command.output if text not in said]
    return f"{' '.join(command.argv)} does not say {missing[0]!r}: {said[-300:]}" if missing else ""
