"""Families that look and tell: list, read, search. Nothing changes in the folder."""

from inference_backend.training.synthesis.deeds import Deed, Doing, Place
from inference_backend.training.synthesis.draw import DATA, TEXTS, Draw
from inference_backend.training.synthesis.goals import Goal
from inference_backend.training.synthesis.task import Call, Steps, Task, Words
from inference_backend.training.synthesis.texts import lines_of, numbered
from inference_backend.training.synthesis.world import World


def list_folder(draw: Draw) -> Task:
    """What lies in a folder: `ls`, and the names in its order."""
    folder = draw.folder() if draw.chance(0.5) else ""
    files = {draw.file(DATA, folder or None, nested=0.2): draw.lines(1, 4) for _ in range(draw.number(1, 6))}
    world = World(draw.clutter(files, 1, 2) if folder else files)
    prompt = draw.say("there", folder=folder) if folder else draw.say()
    top = sorted({path.removeprefix(f"{folder}/" if folder else "").split("/")[0] for path in files})

    def expert() -> Steps:
        seen = yield Call("Shell", {"command": f"ls {folder}".strip()})
        names = draw.listed(lines_of(seen))
        where = draw.both(folder or "The folder", f"{folder} 里" if folder else "文件夹里")
        yield Words(draw.both(f"{where} holds {names}.", f"{where}有 {names}。"))

    return draw.task(world, prompt, Goal(world.tree(), answer=tuple((name,) for name in top)), expert)


def read_file(draw: Draw) -> Task:
    """What a small file says, word for word."""
    path = draw.file(TEXTS)
    text = draw.lines(1, 3)
    world = World(draw.clutter({path: text}))

    def expert() -> Steps:
        seen = yield Call("ReadFile", {"path": path})
        told = "\n".join(numbered(seen))
        yield Words(draw.both(f"{path} says:\n{told}", f"{path} 的内容：\n{told}"))

    goal = Goal(world.tree(), answer=tuple((line,) for line in text.splitlines()))
    return draw.task(world, draw.say(path=path), goal, expert)


def read_some(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """The same as a deed among others: a file that lies there, or that has just been made."""
    path = place.some(TEXTS, 1, 3)
    text = place.now[path]

    def do() -> Doing:
        seen = yield Call("ReadFile", {"path": path})
        told = "\n".join(numbered(seen))
        return draw.both(f"{path} says:\n{told}", f"{path} 的内容：\n{told}")

    answer = tuple((line,) for line in text.splitlines())
    return Deed(draw.ask("read_file", bare, path=path), do, tells=True, answer=answer)


def read_answer(draw: Draw) -> Task:
    """One value out of a file of keys and values."""
    shape = draw.pick(("{}: {}", "{} = {}", "{}={}"))
    path = draw.file(("txt", "cfg", "yaml", "ini", "md"))
    keys = [draw.word() for _ in range(draw.number(2, 6))]
    values = [draw.value() for _ in keys]
    world = World(
        draw.clutter({path: "".join(shape.format(key, value) + "\n" for key, value in zip(keys, values, strict=True))})
    )
    wanted = draw.number(0, len(keys) - 1)
    key, value = keys[wanted], values[wanted]

    def expert() -> Steps:
        seen = yield Call("ReadFile", {"path": path})
        found = next(line for line in numbered(seen) if line.startswith(key)).removeprefix(key).strip(" :=")
        yield Words(draw.both(f"{key} is {found}.", f"{key} 是 {found}。"))

    return draw.task(world, draw.say(path=path, key=key), Goal(world.tree(), answer=((value,),)), expert)


def search_answer(draw: Draw) -> Task:
    """Which file and line a word is in."""
    word = draw.name()
    files = {draw.file(DATA): draw.lines(2, 6) for _ in range(draw.number(2, 5))}
    target = draw.pick(list(files))
    lines = files[target].splitlines()
    at = draw.rng.randrange(len(lines))
    lines[at] = f"{draw.sentence(1, 3)} {word} {draw.sentence(1, 2)}"
    files[target] = "\n".join(lines) + "\n"
    world = World(files)

    def expert() -> Steps:
        seen = yield Call("Grep", {"pattern": word, "output_mode": "content"})
        found, line = lines_of(seen)[:2]
        number = line.partition(":")[0]
        yield Words(draw.both(f"{word} is in {found}, line {number}.", f"{word} 在 {found} 的第 {number} 行。"))

    return draw.task(world, draw.say(word=word), Goal(world.tree(), answer=((target,), (str(at + 1),))), expert)


def find_files(draw: Draw) -> Task:
    """All files of an ending, in any folder; perhaps there are none."""
    ending = draw.pick(DATA)
    others = [each for each in DATA if each != ending]
    there = [draw.file((ending,), nested=0.5) for _ in range(draw.pick((0, 1, 1, 2, 2, 3, 4)))]
    files = {
        path: draw.lines(1, 2) for path in [*there, *(draw.file(others, nested=0.3) for _ in range(draw.number(1, 4)))]
    }
    world = World(draw.clutter(files, 0, 0))

    def expert() -> Steps:
        seen = yield Call("Glob", {"pattern": f"**/*.{ending}"})
        if "No files match" in seen:
            yield Words(draw.both(f"There are no .{ending} files.", f"没有 .{ending} 文件。"))
            return
        names = draw.listed(lines_of(seen))
        yield Words(draw.both(f"I found {names}.", f"找到 {names}。"))

    wanted = tuple((path,) for path in there) or (("no ", "没有"),)
    return draw.task(world, draw.say(ext=f".{ending}"), Goal(world.tree(), answer=wanted), expert)
