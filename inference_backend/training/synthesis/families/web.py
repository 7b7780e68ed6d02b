"""Families that fetch a page of this machine: a question that it answers, a page that is saved."""

from inference_backend.training.synthesis.draw import TEXTS, Draw
from inference_backend.training.synthesis.goals import Goal
from inference_backend.training.synthesis.task import Call, Steps, Task, Words
from inference_backend.training.synthesis.texts import page
from inference_backend.training.synthesis.world import World


def fetch_answer(draw: Draw) -> Task:
    """A page of keys and values, as plain text or HTML, and one of them asked for."""
    port, name = draw.number(1024, 9999), f"/{draw.name()}.{draw.pick(('txt', 'txt', 'txt', 'md'))}"
    keys = [draw.word() for _ in range(draw.number(2, 5))]
    values = {key: draw.value() for key in keys}
    key = draw.pick(keys)
    site = {name: "".join(f"{each}: {value}\n" for each, value in values.items())}
    world = World(draw.clutter({}, 1, 3), site=site, port=port)
    url = f"http://127.0.0.1:{port}{name}"

    def expert() -> Steps:
        seen = yield Call("FetchURL", {"url": url})
        found = next(line for line in page(seen) if line.startswith(key)).removeprefix(key).strip(" :")
        yield Words(draw.both(f"{key} is {found}.", f"{key} 是 {found}。"))

    return draw.task(world, draw.say(url=url, key=key), Goal(world.tree(), answer=((values[key],),)), expert)


def fetch_save(draw: Draw) -> Task:
    """A page of a line or two, written to a file."""
    port, name = draw.number(1024, 9999), f"/{draw.name()}.txt"
    text, path = draw.lines(1, 2), draw.file(TEXTS)
    world = World(draw.clutter({}, 1, 3), site={name: text}, port=port)
    url = f"http://127.0.0.1:{port}{name}"

    def expert() -> Steps:
        seen = yield Call("FetchURL", {"url": url})
        content = "".join(f"{line}\n" for line in page(seen))
        yield Call("WriteFile", {"path": path, "content": content})
        yield Words(draw.both(f"Saved the page to {path}.", f"已把网页保存到 {path}。"))

    goal = Goal(world.tree() | {path: text}, answer=((path,),))
    return draw.task(world, draw.say(url=url, path=path), goal, expert)


def fetch_missing(draw: Draw) -> Task:
    """A page that is not there."""
    port, name = draw.number(1024, 9999), f"/{draw.name()}.txt"
    world = World(draw.clutter({}, 1, 3), site={f"/{draw.name()}.txt": draw.lines(1, 2)}, port=port)
    url = f"http://127.0.0.1:{port}{name}"

    def expert() -> Steps:
        yield Call("FetchURL", {"url": url})
        yield Words(draw.both("The page is not there: 404.", "这个网页不存在：404。"))

    return draw.task(
        world, draw.ask("fetch_answer", False, url=url, key=draw.word()), Goal(world.tree(), answer=(("404",),)), expert
    )
