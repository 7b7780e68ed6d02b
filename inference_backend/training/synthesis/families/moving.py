"""Deeds that move: rename, move, copy, make a folder; and deleting, for which the expert asks first."""

from inference_backend.training.synthesis.deeds import Deed, Doing, Place
from inference_backend.training.synthesis.draw import DATA, Draw
from inference_backend.training.synthesis.goals import Goal
from inference_backend.training.synthesis.task import Call, Steps, Task, Words


def rename_file(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """Another name in the same folder."""
    path = place.some(DATA)
    folder, _, name = path.rpartition("/")
    new = draw.file((name.rpartition(".")[2],), nested=0.0)
    if draw.chance(0.2):
        new = draw.file(DATA, nested=0.0)
    target = f"{folder}/{new}" if folder else new
    place.write(target, place.remove(path))

    def do() -> Doing:
        yield Call("Shell", {"command": f"mv {path} {target}"})
        return draw.both(f"Renamed {path} to {target}.", f"已把 {path} 改名为 {target}。")

    said = new if draw.chance(0.5) else target
    return Deed(draw.ask("rename_file", bare, path=path, new=said), do, answer=((new,),))


def move_file(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """Into a folder, which may be new."""
    path, folder = place.some(DATA), draw.folder()
    if draw.chance(0.4):
        place.lay(draw.file(DATA, folder), draw.lines(1, 2))
    name = path.rpartition("/")[2]
    place.write(f"{folder}/{name}", place.remove(path))

    def do() -> Doing:
        yield Call("Shell", {"command": f"mkdir -p {folder} && mv {path} {folder}/"})
        return draw.both(f"Moved {path} to {folder}.", f"已把 {path} 移到 {folder}。")

    return Deed(draw.ask("move_file", bare, path=path, folder=folder), do, answer=((folder,),))


def copy_file(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    path = place.some(DATA)
    target = draw.file((path.rpartition(".")[2],), nested=0.0)
    place.write(target, place.now[path])

    def do() -> Doing:
        yield Call("Shell", {"command": f"cp {path} {target}"})
        return draw.both(f"Copied {path} to {target}.", f"已把 {path} 复制为 {target}。")

    return Deed(draw.ask("copy_file", bare, path=path, new=target), do, answer=((target,),))


def make_folder(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    folder = draw.folder() if draw.chance(0.7) else f"{draw.folder()}/{draw.folder()}"

    def do() -> Doing:
        yield Call("Shell", {"command": f"mkdir -p {folder}"})
        return draw.both(f"Created the folder {folder}.", f"已创建文件夹 {folder}。")

    return Deed(draw.ask("make_folder", bare, folder=folder), do, answer=((folder,),), folders=(folder,))


def delete_file(draw: Draw) -> Task:
    """Two turns: the expert asks whether it may, the person says yes or no."""
    place = Place(draw)
    is_folder = draw.chance(0.3)
    if is_folder:
        path = draw.folder()
        for _ in range(draw.number(1, 3)):
            place.lay(draw.file(DATA, path), draw.lines(1, 2))
    else:
        path = place.some(DATA)
    yes = draw.chance(0.6)
    asks = draw.say("folder", folder=path) if is_folder else draw.say(path=path)
    answers = draw.say("yes") if yes else draw.say("no")
    if yes:
        for known in [each for each in place.now if each == path or each.startswith(f"{path}/")]:
            place.remove(known)
    place.clutter(1, 3)

    def expert() -> Steps:
        yield Words(draw.both(f"Delete {path}? Say yes or no.", f"要删除 {path} 吗？请回答是或否。"))
        if not yes:
            yield Words(draw.both(f"I left {path} as it is.", f"好的，{path} 保持不变。"))
            return
        yield Call("Shell", {"command": f"rm -r {path}" if is_folder else f"rm {path}"})
        yield Words(draw.both(f"Deleted {path}.", f"已删除 {path}。"))

    goal = Goal(place.now, answer=((path,),))
    return draw.task(place.world(), (asks, answers), goal, expert)
