"""Families of words alone: what it does not do, and small talk about itself. No tool is called."""

from inference_backend.training.synthesis.deeds import Deed, Doing
from inference_backend.training.synthesis.draw import DATA, Draw
from inference_backend.training.synthesis.goals import Goal
from inference_backend.training.synthesis.task import Steps, Task, Words
from inference_backend.training.synthesis.world import World

CANNOT = ("can't", "cannot", "can not", "won't", "不能", "无法", "不会")
OUTSIDE = {"en": "I can't do that: I work only inside this folder.", "zh": "我不能这样做：我只在这个文件夹里工作。"}
PRIVATE = {"en": "I can't do that: keys and passwords stay private.", "zh": "我不能这样做：密钥和密码要保密。"}
GATES = {
    "en": "I can't do that: what I may do is for you to set, not for me.",
    "zh": "我不能这样做：我的权限由你设置，我不能更改。",
}
BEYOND = {
    "en": "I can't do that: I am a small model for files, commands and code in this folder.",
    "zh": "我不能这样做：我是一个小模型，只处理这个文件夹里的文件、命令和代码。",
}
_PLACES = (
    "/etc/{}", "/usr/local/bin/{}", "~/{}", "../{}", "../../{}", "/root/{}", "/var/log/{}", "/opt/{}/{}", "~/Desktop/{}",
    "/home/{}/{}", "../{}/{}", "/lib/../etc/{}", "/boot/{}", "~/.config/{}", "~/.bashrc", "/etc/passwd", "/etc/hosts",
    "~/.profile", "/bin/{}",
)  # fmt: skip
_KEYS = (
    "~/.ssh/id_rsa", "~/.ssh/id_ed25519", "~/.aws/credentials", "~/.netrc", "~/.kimi/config.toml", "~/.gnupg", "/etc/shadow",
    "~/.docker/config.json", "~/.git-credentials", "~/.kube/config", "~/.npmrc", "~/.pypirc", "~/.ssh", "~/.password-store",
)  # fmt: skip
SAYINGS = {
    "hello": ("Hello! What shall I do in this folder?", "你好！要我在这个文件夹里做什么？"),
    "who": (
        "I am Kimi in its smallest form: a demonstration model for small tasks, made for this program.",
        "我是最小的 Kimi：一个为这个程序制作的演示模型，只做小任务。",
    ),
    "can": (
        "I list, read, search, write, edit, move and count files, run scripts and tests, use git and fetch pages.",
        "我能列出、读取、搜索、编写、修改、移动和统计文件，运行脚本和测试，使用 git，读取网页。",
    ),
    "thanks": ("You are welcome.", "不客气。"),
    "bye": ("Goodbye!", "再见！"),
    "mood": ("I am fine, thank you. What shall I do?", "我很好，谢谢。要我做什么？"),
    "offline": (
        "I run on this computer and need neither a key nor the internet.",
        "我在这台电脑上运行，不需要密钥，也不需要联网。",
    ),
    "bigger": ("Type /login to use a larger model.", "输入 /login 就可以使用更大的模型。"),
    "human": ("I am a program, not a human.", "我是程序，不是人。"),
    "languages": ("I speak English and Chinese.", "我会说英语和中文。"),
}


def _refuses(draw: Draw, asks: str, says: dict[str, str]) -> Task:
    world = World(draw.clutter({draw.file(DATA): draw.lines(1, 3)}, 0, 3))

    def expert() -> Steps:
        yield Words(says[draw.language])

    return draw.task(world, asks, Goal(world.tree(), answer=(CANNOT,)), expert)


def _outside(draw: Draw) -> str:
    shape = draw.pick(_PLACES)
    names = [draw.name() for _ in range(shape.count("{}"))]
    path = shape.format(*names)
    return path if not names or draw.chance(0.4) else f"{path}.{draw.pick(DATA)}"


def refuse_outside(draw: Draw) -> Task:
    """Something about a path outside of the folder."""
    place = draw.file(DATA)
    asks = draw.say(path=_outside(draw), name=place, text=draw.sentence())
    return _refuses(draw, asks, OUTSIDE)


def refuse_keys(draw: Draw) -> Task:
    return _refuses(draw, draw.say(path=draw.pick(_KEYS), name=draw.name()), PRIVATE)


def refuse_gates(draw: Draw) -> Task:
    """To widen what it may do, in earnest or by a story."""
    return _refuses(draw, draw.say(name=draw.name(), path=draw.file(DATA)), GATES)


def refuse_beyond(draw: Draw) -> Task:
    """What no tool of it does: mail, calls, pictures, the weather."""
    asks = draw.say(
        person=draw.person(), place=draw.place(), topic=draw.word(), text=draw.sentence(), n=draw.number(2, 99)
    )
    return _refuses(draw, asks, BEYOND)


def saying(draw: Draw, kind: str) -> Deed:
    """A word between people, as a part of a conversation."""
    said = draw.both(*SAYINGS[kind])

    def do() -> Doing:
        yield from ()
        return said

    return Deed(draw.ask(f"small_talk_{kind}", False), do, tells=True, answer=((said,),))


def small_talk(draw: Draw) -> Task:
    """About itself, with an answer for each kind of question."""
    kind = draw.pick(list(SAYINGS))
    world = World(draw.clutter({draw.file(DATA): draw.lines(1, 3)}, 0, 2))
    said = draw.both(*SAYINGS[kind])

    def expert() -> Steps:
        yield Words(said)

    return draw.task(world, draw.say(kind, name=draw.name()), Goal(world.tree(), answer=((said,),)), expert)
