"""Deeds that count, with the programs that count: wc, ls and grep."""

from inference_backend.training.synthesis.deeds import Deed, Doing, Place
from inference_backend.training.synthesis.draw import DATA, TEXTS, Draw
from inference_backend.training.synthesis.task import Call
from inference_backend.training.synthesis.texts import lines_of


def count_lines(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    path = place.some(DATA, 2, 14)
    count = place.now[path].count("\n")

    def do() -> Doing:
        seen = yield Call("Shell", {"command": f"wc -l {path}"})
        number = seen.split()[0]
        return draw.both(f"{path} has {number} line{'s' * (number != '1')}.", f"{path} 有 {number} 行。")

    return Deed(draw.ask("count_lines", bare, path=path), do, tells=True, answer=((str(count),),))


def count_words(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    path = draw.file(TEXTS)
    lines = [" ".join(draw.sentence(1, 2) for _ in range(draw.number(1, 4))) for _ in range(draw.number(1, 4))]
    place.lay(path, "".join(f"{line}\n" for line in lines))
    count = len(place.now[path].split())

    def do() -> Doing:
        seen = yield Call("Shell", {"command": f"wc -w {path}"})
        number = seen.split()[0]
        return draw.both(f"{path} has {number} word{'s' * (number != '1')}.", f"{path} 有 {number} 个词。")

    return Deed(draw.ask("count_words", bare, path=path), do, tells=True, answer=((str(count),),))


def count_files(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """How many files are in a folder."""
    folder = draw.folder()
    for _ in range(draw.number(1, 12)):
        place.lay(draw.file(DATA, folder), draw.lines(1, 1))
    count = sum(path.startswith(f"{folder}/") for path in place.now)

    def do() -> Doing:
        seen = yield Call("Shell", {"command": f"ls {folder} | wc -l"})
        number = seen.strip()
        return draw.both(f"{folder} has {number} file{'s' * (number != '1')}.", f"{folder} 里有 {number} 个文件。")

    return Deed(draw.ask("count_files", bare, folder=folder), do, tells=True, answer=((str(count),),))


def count_matches(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """How many lines of a file have a word."""
    path, word = draw.file(DATA), draw.name()
    lines = [f"{draw.sentence(1, 3)}{f' {word}' if draw.chance(0.5) else ''}" for _ in range(draw.number(3, 9))]
    lines[draw.rng.randrange(len(lines))] = f"{word} {draw.sentence(1, 2)}"
    place.lay(path, "".join(f"{line}\n" for line in lines))
    count = sum(word in line for line in lines)

    def do() -> Doing:
        seen = yield Call("Shell", {"command": f"grep -c {word} {path}"})
        number = lines_of(seen)[0]
        return draw.both(
            f"{word} is in {number} line{'s' * (number != '1')} of {path}.", f"{path} 里有 {number} 行含 {word}。"
        )

    return Deed(draw.ask("count_matches", bare, path=path, word=word), do, tells=True, answer=((str(count),),))
