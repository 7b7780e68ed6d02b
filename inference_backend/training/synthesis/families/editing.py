"""Deeds that write: create, append, replace, set a value, insert and remove a line."""

from inference_backend.training.synthesis.deeds import Deed, Doing, Place
from inference_backend.training.synthesis.draw import TEXTS, Draw
from inference_backend.training.synthesis.task import Call
from inference_backend.training.synthesis.texts import lines_of, numbered

KINDS = ("txt", "md", "cfg", "ini", "yaml")


def create_file(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """A new file with one line."""
    path, text = draw.file(TEXTS), draw.sentence()
    place.write(path, f"{text}\n")

    def do() -> Doing:
        yield Call("WriteFile", {"path": path, "content": f"{text}\n"})
        return draw.both(f"Created {path}.", f"已创建 {path}。")

    return Deed(draw.ask("create_file", bare, path=path, text=text), do, answer=((path,),))


def create_lines(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """A new file with a line for each of several things."""
    path, items = draw.file(TEXTS), [draw.word() for _ in range(draw.number(2, 5))]
    content = "".join(f"{item}\n" for item in items)
    place.write(path, content)

    def do() -> Doing:
        yield Call("WriteFile", {"path": path, "content": content})
        return draw.both(f"Created {path}.", f"已创建 {path}。")

    return Deed(draw.ask("create_lines", bare, path=path, items=draw.listed(items)), do, answer=((path,),))


def append_line(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    path, text = place.some(), draw.sentence()
    place.write(path, place.now[path] + f"{text}\n")

    def do() -> Doing:
        yield Call("WriteFile", {"path": path, "content": f"{text}\n", "mode": "append"})
        return draw.both(f"Added the line to {path}.", f"已在 {path} 末尾加上这一行。")

    return Deed(draw.ask("append_line", bare, path=path, text=text), do, answer=((path,),))


def replace_word(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """One word for another, in a file that has it once."""
    path, old, new = draw.file(TEXTS), draw.name(), draw.name()
    lines = draw.lines(1, 4).splitlines()
    at = draw.rng.randrange(len(lines))
    lines[at] = f"{draw.sentence(1, 3)} {old} {draw.sentence(1, 2)}"
    text = "".join(f"{line}\n" for line in lines)
    place.lay(path, text)
    place.write(path, text.replace(old, new))

    def do() -> Doing:
        yield Call("ReadFile", {"path": path})
        yield Call("StrReplaceFile", {"path": path, "edit": {"old": old, "new": new}})
        return draw.both(f"Replaced {old} with {new} in {path}.", f"已把 {path} 里的 {old} 改成 {new}。")

    return Deed(draw.ask("replace_word", bare, path=path, old=old, new=new), do, answer=((path,),))


def edit_value(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """Another value for a key."""
    path, shape = draw.file(KINDS), draw.pick(("{}: {}", "{} = {}", "{}={}"))
    keys = [draw.word() for _ in range(draw.number(2, 5))]
    values = {key: draw.value() for key in keys}
    key, new = draw.pick(keys), draw.value()
    place.lay(path, "".join(shape.format(each, value) + "\n" for each, value in values.items()))
    place.write(
        path, "".join(shape.format(each, new if each == key else value) + "\n" for each, value in values.items())
    )

    def do() -> Doing:
        seen = yield Call("ReadFile", {"path": path})
        old = next(line for line in numbered(seen) if line.startswith(key))
        after = old.removeprefix(key).removesuffix(values[key])
        yield Call("StrReplaceFile", {"path": path, "edit": {"old": old, "new": f"{key}{after}{new}"}})
        return draw.both(f"Set {key} to {new} in {path}.", f"已把 {path} 里的 {key} 设为 {new}。")

    return Deed(draw.ask("edit_value", bare, path=path, key=key, new=new), do, answer=((path,),))


def insert_line(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """A line behind another."""
    path, text = draw.file(TEXTS), draw.sentence()
    lines = [f"{draw.word()} {draw.sentence(1, 3)}" for _ in range(draw.number(2, 4))]
    at = draw.rng.randrange(len(lines))
    place.lay(path, "".join(f"{line}\n" for line in lines))
    place.write(path, "".join(f"{line}\n" for line in [*lines[: at + 1], text, *lines[at + 1 :]]))
    mark = lines[at].split()[0]

    def do() -> Doing:
        seen = yield Call("ReadFile", {"path": path})
        old = next(line for line in numbered(seen) if line.startswith(mark))
        yield Call("StrReplaceFile", {"path": path, "edit": {"old": old, "new": f"{old}\n{text}"}})
        return draw.both(f"Added the line to {path}.", f"已在 {path} 里加上这一行。")

    return Deed(draw.ask("insert_line", bare, path=path, text=text, mark=mark), do, answer=((path,),))


def remove_line(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """A line less: the one with a word in it, wherever that stands. Grep finds it: by its end, a small model does not."""
    path = draw.file(TEXTS)
    lines = [f"{draw.sentence(1, 2)} {draw.name()}" for _ in range(draw.number(2, 5))]
    at = draw.rng.randrange(len(lines))
    word = lines[at].split()[-1]
    place.lay(path, "".join(f"{line}\n" for line in lines))
    place.write(path, "".join(f"{line}\n" for line in [*lines[:at], *lines[at + 1 :]]))

    def do() -> Doing:
        seen = yield Call("Grep", {"pattern": word, "path": path, "output_mode": "content"})
        old = lines_of(seen)[1].partition(":")[2]
        yield Call("StrReplaceFile", {"path": path, "edit": {"old": f"{old}\n", "new": ""}})
        return draw.both(f"Removed the line with {word} from {path}.", f"已从 {path} 里删去含 {word} 的那一行。")

    return Deed(draw.ask("remove_line", bare, path=path, word=word), do, answer=((path,),))
