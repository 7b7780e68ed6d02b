"""Longer tasks: several deeds in one request, and one deed for each of many files."""

from collections.abc import Callable, Sequence

from inference_backend.training.synthesis.deeds import Deed, Doing, Place
from inference_backend.training.synthesis.draw import DATA, TEXTS, Draw
from inference_backend.training.synthesis.families import counting, editing, looking, moving, running, talking
from inference_backend.training.synthesis.families.joins import JOINS, LISTS
from inference_backend.training.synthesis.goals import Goal
from inference_backend.training.synthesis.task import Call, Steps, Task, Words
from inference_backend.training.synthesis.texts import lines_of

PARTS: Sequence[Callable[..., Deed]] = (
    editing.create_file, editing.create_file, editing.create_lines, editing.append_line, editing.append_line,
    editing.replace_word, editing.edit_value, editing.insert_line, editing.remove_line, moving.rename_file, moving.move_file,
    moving.copy_file, moving.make_folder, looking.read_some, looking.read_some, counting.count_lines, counting.count_files,
    counting.count_matches, running.run_script,
)  # fmt: skip
SHORT = (
    editing.create_file, editing.append_line, moving.rename_file, moving.move_file, moving.copy_file, moving.make_folder,
    counting.count_lines, editing.create_lines, editing.create_file,
)  # fmt: skip


MORE = " ..."
"""Ends what the expert says before a call that is not the last of a list. What is left of a list is far away by then; whether
anything is stands in its own last words."""


def few_steps(draw: Draw) -> Task:
    """Two to four deeds in one sentence or a short list."""
    place, parts = Place(draw), [draw.pick(PARTS) for _ in range(draw.number(2, 4))]
    deeds = [part(draw, place, bare=True) for part in parts]
    if draw.rng.randrange(99) < 75:
        return _together(draw, place, deeds, _joined(draw, [deed.asks for deed in deeds]), "{}. ")
    head, mark = _mark(draw, LISTS[draw.language, draw.unseen_words])
    return _together(draw, place, deeds, _list(head, mark, deeds), mark if "{}" in mark else "{}. ")


def many_steps(draw: Draw) -> Task:
    """Ten to fourteen deeds in a numbered list, with short texts."""
    draw.brief = True
    place, parts = Place(draw), [draw.pick(SHORT) for _ in range(draw.number(10, 14))]
    deeds = [part(draw, place, bare=True) for part in parts]
    numbered = [each for each in LISTS[draw.language, draw.unseen_words] if "{}" in each[1]]
    head, mark = _mark(draw, numbered)
    return _together(draw, place, deeds, _list(head, mark, deeds), mark)


def _mark(draw: Draw, known: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The head of a list and the mark of its lines: known ones, or in training a word that means nothing, with the number."""
    if draw.unseen_words or draw.chance(0.75):
        return draw.pick(known)
    end = draw.pick((": ", " - ", ". ", ") ", "> ", ", "))
    word = draw.name()
    shapes = (f"{word} {{}}{end}", f"{word.capitalize()} {{}}{end}", f"{word[:2].upper()}{{}}{end}")
    return "", draw.pick(shapes if draw.language == "en" else (f"{word}{{}}{end}", f"第{{}}{draw.of('things')[:1]}："))


def conversation(draw: Draw) -> Task:
    """Two to four requests one after another, in one session; perhaps with a greeting before or thanks behind."""
    place = Place(draw)
    deeds = [draw.pick(PARTS)(draw, place) for _ in range(draw.number(2, 4))]
    if draw.chance(0.15):
        deeds = [talking.saying(draw, "hello"), *deeds]
    if draw.chance(0.25):
        deeds = [*deeds, talking.saying(draw, "thanks")]
    place.clutter(0, 1)

    def expert() -> Steps:
        for deed in deeds:
            yield Words((yield from deed.do()))

    folders = tuple(folder for deed in deeds for folder in deed.folders)
    goal = Goal(place.now, folders=folders, answer=deeds[-1].answer)
    return draw.task(place.world(), [deed.asks for deed in deeds], goal, expert)


def _joined(draw: Draw, asks: Sequence[str]) -> str:
    before, between, last, after = draw.pick(JOINS[draw.language, draw.unseen_words])
    middle = between.join(asks[:-1])
    return f"{before}{middle}{last}{asks[-1]}{after}"


def _list(head: str, mark: str, deeds: Sequence[Deed]) -> str:
    return head + "\n".join(f"{mark.format(number)}{deed.asks}" for number, deed in enumerate(deeds, 1))


def _together(draw: Draw, place: Place, deeds: Sequence[Deed], said: str, mark: str) -> Task:
    """The deeds one after another. The expert says each, with its number, before it begins with it."""
    place.clutter(0, 1)

    def expert() -> Steps:
        told = []
        for number, deed in enumerate(deeds, 1):
            more = MORE if number < len(deeds) else ""
            sentence = yield from _saying(f"{mark.format(number)}{deed.asks}{more}", deed.do())
            told += [sentence] if deed.tells else []
        yield Words(draw.both(" ", "").join([draw.both("Done.", "完成了。"), *told]))

    wanted = tuple(group for deed in deeds if deed.tells for group in deed.answer)
    folders = tuple(folder for deed in deeds for folder in deed.folders)
    draw.template = f"{draw.family}/{draw.language}/{'h' if draw.unseen_words else 't'}"
    return draw.task(place.world(), said, Goal(place.now, folders=folders, answer=wanted), expert)


def _saying(text: str, doing: Doing) -> Doing:
    """The same calls, with `text` before the first."""
    try:
        first = next(doing)
        seen = yield Call(first.tool, first.arguments, text)
        while True:
            seen = yield doing.send(seen)
    except StopIteration as end:
        return str(end.value)


# --- one deed for each of many files ----------------------------------------------------------------------------------------


def _numbered(folder: str) -> Call:
    """Lists a folder: `1. a.txt`, a file a line. What is numbered can be gone through."""
    return Call("Shell", {"command": f"ls {folder} | nl -w1 -s'. '"})


def _each(seen: str) -> list[tuple[str, str]]:
    """For each file of a numbered listing what the expert says when it is its turn, and its name."""
    lines = lines_of(seen)
    return [(line + MORE * (line != lines[-1]), line.partition(". ")[2]) for line in lines]


def _filled(draw: Draw, place: Place, endings: Sequence[str], low: int, high: int) -> str:
    """A folder with files in it."""
    folder = draw.folder()
    for _ in range(draw.number(low, high)):
        place.lay(f"{folder}/{draw.name()}.{draw.pick(endings)}", draw.lines(1, 1))
    return folder


def create_many(draw: Draw) -> Task:
    place, text = Place(draw), draw.sentence(1, 3)
    ending = draw.pick(TEXTS)
    paths = [f"{draw.name()}.{ending}" for _ in range(draw.number(9, 13))]
    for path in paths:
        place.write(path, f"{text}\n")
    place.clutter(0, 2)

    def expert() -> Steps:
        for number, path in enumerate(paths):
            is_last = number == len(paths) - 1
            before = paths[number - 1] + draw.both(" and " if is_last else ", ", "、") if number else ""
            says = f"{before}{path}{'' if is_last else MORE}"  # as the request lists them: one leads to the next
            yield Call("WriteFile", {"path": path, "content": f"{text}\n"}, says)
        yield Words(draw.both("Created all the files.", "已创建所有文件。"))

    return draw.task(place.world(), draw.say(items=draw.listed(paths), text=text), Goal(place.now), expert)


def append_all(draw: Draw) -> Task:
    place, text = Place(draw), draw.sentence(1, 4)
    folder = _filled(draw, place, TEXTS, 8, 12)
    for path in list(place.now):
        place.write(path, f"{place.now[path]}{text}\n")
    place.clutter(0, 2)

    def expert() -> Steps:
        seen = yield _numbered(folder)
        for says, name in _each(seen):
            yield Call("WriteFile", {"path": f"{folder}/{name}", "content": f"{text}\n", "mode": "append"}, says)
        yield Words(draw.both(f"Added the line to every file in {folder}.", f"已给 {folder} 里的每个文件加上这一行。"))

    return draw.task(place.world(), draw.say(folder=folder, text=text), Goal(place.now), expert)


def rename_all(draw: Draw) -> Task:
    """Files of one ending get another."""
    place = Place(draw)
    old, new = draw.rng.sample(DATA, 2)
    folder = _filled(draw, place, (old,), 8, 12)
    for path in list(place.now):
        place.write(f"{path.removesuffix(old)}{new}", place.remove(path))
    place.clutter(0, 2)

    def expert() -> Steps:
        seen = yield _numbered(folder)
        for says, name in _each(seen):
            yield Call("Shell", {"command": f"mv {folder}/{name} {folder}/{name.removesuffix(old)}{new}"}, says)
        yield Words(draw.both(f"Renamed every file in {folder} to .{new}.", f"已把 {folder} 里的文件都改成 .{new}。"))

    return draw.task(place.world(), draw.say(folder=folder, old=f".{old}", new=f".{new}"), Goal(place.now), expert)


def replace_all(draw: Draw) -> Task:
    """One word for another, in every file of a folder; each has it once."""
    place, old, new = Place(draw), draw.name(), draw.name()
    folder = draw.folder()
    for _ in range(draw.number(5, 7)):
        text = f"{draw.sentence(1, 2)} {old} {draw.sentence(1, 2)}\n"
        path = place.lay(f"{folder}/{draw.name()}.{draw.pick(TEXTS)}", text)
        place.write(path, text.replace(old, new))
    place.clutter(0, 2)

    def expert() -> Steps:
        seen = yield _numbered(folder)
        for says, name in _each(seen):
            path = f"{folder}/{name}"
            yield Call("ReadFile", {"path": path}, says)
            yield Call("StrReplaceFile", {"path": path, "edit": {"old": old, "new": new}})
        yield Words(
            draw.both(
                f"Replaced {old} with {new} in every file in {folder}.",
                f"已把 {folder} 里每个文件的 {old} 改成 {new}。",
            )
        )

    return draw.task(place.world(), draw.say(folder=folder, old=old, new=new), Goal(place.now), expert)
