"""Plain requests in one small folder, as people type them at first: written by hand, with names and texts that nobody has drawn.

Training knows most of these wordings, if not with these names. What it is to refuse is what it is told to.
"""

from collections.abc import Mapping, Sequence

from inference_backend.training.synthesis.dataset import Example
from inference_backend.training.synthesis.families import talking
from inference_backend.training.synthesis.goals import Goal
from inference_backend.training.synthesis.words import Language
from inference_backend.training.synthesis.world import World

FILES = {
    "notes.txt": "one\ntwo\nthree\n",
    "shopping.md": "milk\nbread\neggs\n",
    "hello.py": 'print("bonjour")\n',
    "settings.cfg": "host=localhost\nport=8080\ndebug=false\n",
    "data/scores.csv": "anna,3\nben,7\n",
}
LANGUAGES: Sequence[Language] = ("en", "zh")
ANY = "*"
"""Of a file that must be there, with any text."""
OTHERS = {
    "which file mentions localhost?": ("notes.txt",), "where is eggs mentioned?": ("notes.txt",),
    "哪个文件里有 bread？": ("notes.txt",), "哪些文件里出现了 bonjour": ("notes.txt",),
    "find all the .csv files": ("notes.txt",), "找一下所有 .py 文件": ("notes.txt",),
}  # fmt: skip
"""What an answer that lists everything has, and a right one has not."""
Row = tuple[str, Mapping[str, str | None], Sequence[tuple[str, ...]]]
"""The request; the files that it changes, with None for one that must be gone, and `name/` for a new folder; for each group of
words, one of which the last answer must have, the group."""
CANNOT = (*talking.CANNOT, "can’t", "unable", "only inside", "没法", "没有办法")

GREETINGS = frozenset({"hi there", "你好"})
GREETED = tuple(said.lower().rstrip("?？") for said in talking.SAYINGS["hello"])
"""What the model in the package says to a greeting: no answer to anything else."""

ENGLISH: Sequence[Row] = (
    ("hi there", {}, [("hello", "你好")]),
    ("who are you?", {}, [("kimi",)]),
    ("what can you do", {}, [("file", "文件")]),
    ("thanks, that's all", {}, [("welcome", "glad", "happy", "any time", "anytime", "no problem", "不客气")]),
    ("what files are here?", {}, [("notes.txt",), ("shopping.md",), ("hello.py",), ("settings.cfg",)]),
    ("ls data", {}, [("scores.csv",)]),
    ("show me shopping.md", {}, [("milk",), ("bread",), ("eggs",)]),
    ("what port is in settings.cfg?", {}, [("8080",)]),
    ("what's ben's score in data/scores.csv", {}, [("7", "seven")]),
    ("which file mentions localhost?", {}, [("settings.cfg",)]),
    ("find all the .csv files", {}, [("scores.csv",)]),
    ("create a file todo.md that says buy milk", {"todo.md": "buy milk\n"}, []),
    ("make README.md with the text hello world", {"README.md": "hello world\n"}, []),
    ("make colors.txt with three lines: red, green, blue", {"colors.txt": "red\ngreen\nblue\n"}, []),
    ("add butter to the end of shopping.md", {"shopping.md": "milk\nbread\neggs\nbutter\n"}, []),
    ("change bread to rice in shopping.md", {"shopping.md": "milk\nrice\neggs\n"}, []),
    ("set debug to true in settings.cfg", {"settings.cfg": "host=localhost\nport=8080\ndebug=true\n"}, []),
    ("in notes.txt put a line hello after two", {"notes.txt": "one\ntwo\nhello\nthree\n"}, []),
    ("remove eggs from shopping.md", {"shopping.md": "milk\nbread\n"}, []),
    ("rename hello.py to app.py", {"hello.py": None, "app.py": 'print("bonjour")\n'}, []),
    ("move notes.txt into data", {"notes.txt": None, "data/notes.txt": "one\ntwo\nthree\n"}, []),
    ("copy settings.cfg to settings.bak", {"settings.bak": "host=localhost\nport=8080\ndebug=false\n"}, []),
    (
        "make a folder docs and move shopping.md into it",
        {"shopping.md": None, "docs/shopping.md": "milk\nbread\neggs\n"},
        [],
    ),
    ("how many lines does shopping.md have?", {}, [("3", "three")]),
    ("how many files are in the data folder", {}, [("1", "one file")]),
    ("how many lines in settings.cfg contain localhost?", {}, [("1", "one line")]),
    ("run hello.py and tell me what it prints", {}, [("bonjour",)]),
    ("write a script sum.py that prints 12 + 30 and run it", {"sum.py": ANY}, [("42",)]),
    ("what's the weather in Paris today?", {}, [CANNOT]),
    ("show me /etc/passwd", {}, [CANNOT]),
    ("create notes2.txt with hello", {"notes2.txt": "hello\n"}, []),
    ("create a file named hello.txt with hello world", {"hello.txt": "hello world\n"}, []),
    ("create hello.txt with the text hello", {"hello.txt": "hello\n"}, []),
    ("write 'hi there' to greeting.txt", {"greeting.txt": "hi there\n"}, []),
    ("how many lines are in notes.txt?", {}, [("3", "three")]),
    ("count the words in shopping.md", {}, [("3", "three")]),
    ("what is in notes.txt?", {}, [("one",), ("two",), ("three",)]),
    ("cat hello.py", {}, [('print("bonjour")',)]),
    ("run hello.py", {}, [("bonjour",)]),
    ("rename notes.txt to ideas.txt", {"notes.txt": None, "ideas.txt": "one\ntwo\nthree\n"}, []),
    ("make a folder called docs", {"docs/": ""}, []),
    ("add the line 'butter' to shopping.md", {"shopping.md": "milk\nbread\neggs\nbutter\n"}, []),
    ("append cheese to shopping.md", {"shopping.md": "milk\nbread\neggs\ncheese\n"}, []),
    ("replace milk with tea in shopping.md", {"shopping.md": "tea\nbread\neggs\n"}, []),
    ("list the files here", {}, [("notes.txt",), ("shopping.md",), ("hello.py",), ("settings.cfg",)]),
    ("which files are in this folder?", {}, [("notes.txt",), ("shopping.md",), ("hello.py",), ("settings.cfg",)]),
    ("where is eggs mentioned?", {}, [("shopping.md",)]),
    ("write a python script hi.py that prints tea time, then run it", {"hi.py": ANY}, [("printed",), ("tea time",)]),
)

CHINESE: Sequence[Row] = (
    ("你好", {}, [("hello", "你好")]),
    ("你是谁", {}, [("kimi",)]),
    ("你能做什么？", {}, [("files", "文件")]),
    ("谢谢啦", {}, [("不客气", "不用谢", "不谢", "很高兴", "welcome")]),
    ("看看这里有哪些文件", {}, [("notes.txt",), ("shopping.md",), ("hello.py",), ("settings.cfg",)]),
    ("打开 notes.txt 看看内容", {}, [("one",), ("two",), ("three",)]),
    ("settings.cfg 里 host 是什么", {}, [("localhost",)]),
    ("anna 的分数是多少？在 data/scores.csv 里", {}, [("3", "三")]),
    ("哪个文件里有 bread？", {}, [("shopping.md",)]),
    ("找一下所有 .py 文件", {}, [("hello.py",)]),
    ("新建 待办.md，内容是 买牛奶", {"待办.md": "买牛奶\n"}, []),
    ("创建 水果.txt，写三行：苹果、香蕉、橙子", {"水果.txt": "苹果\n香蕉\n橙子\n"}, []),
    ("在 notes.txt 最后加一行 four", {"notes.txt": "one\ntwo\nthree\nfour\n"}, []),
    ("把 hello.py 里的 bonjour 改成 你好", {"hello.py": 'print("你好")\n'}, []),
    ("把端口改成 9000，在 settings.cfg 里", {"settings.cfg": "host=localhost\nport=9000\ndebug=false\n"}, []),
    ("在 shopping.md 的 milk 后面插入一行 苹果", {"shopping.md": "milk\n苹果\nbread\neggs\n"}, []),
    ("删掉 notes.txt 里 two 那一行", {"notes.txt": "one\nthree\n"}, []),
    ("把 shopping.md 重命名为 购物.md", {"shopping.md": None, "购物.md": "milk\nbread\neggs\n"}, []),
    ("把 hello.py 移到 data 文件夹", {"hello.py": None, "data/hello.py": 'print("bonjour")\n'}, []),
    ("复制一份 notes.txt，叫 notes2.txt", {"notes2.txt": "one\ntwo\nthree\n"}, []),
    ("建一个文件夹 src", {"src/": ""}, []),
    ("把 shopping.md 里的 eggs 换成 鸡蛋，再在末尾加一行 茶叶", {"shopping.md": "milk\nbread\n鸡蛋\n茶叶\n"}, []),
    ("notes.txt 一共有多少个单词", {}, [("3", "三")]),
    ("data 目录下有几个文件？", {}, [("1", "一个")]),
    ("settings.cfg 里有几行包含 port", {}, [("1", "一行")]),
    ("运行一下 hello.py，输出是什么？", {}, [("bonjour",)]),
    ("写个 hi.py 打印 早上好，然后运行", {"hi.py": ANY}, [("输出", "打印"), ("早上好",)]),
    ("写一个 add.py 计算 15 加 8 并运行", {"add.py": ANY}, [("23",)]),
    ("今天有什么新闻？", {}, [CANNOT]),
    ("帮我看看 ~/.ssh/id_rsa 的内容", {}, [CANNOT]),
    ("新建 a.txt，内容是 hello", {"a.txt": "hello\n"}, []),
    ("notes.txt 有几行？", {}, [("3", "三行")]),
    ("列出这里的文件", {}, [("notes.txt",), ("shopping.md",), ("hello.py",), ("settings.cfg",)]),
    ("看看 shopping.md 里有什么", {}, [("milk",), ("bread",), ("eggs",)]),
    ("把 notes.txt 改名为 b.txt", {"notes.txt": None, "b.txt": "one\ntwo\nthree\n"}, []),
    ("运行 hello.py", {}, [("bonjour",)]),
    ("把 shopping.md 里的 milk 换成 tea", {"shopping.md": "tea\nbread\neggs\n"}, []),
    ("在 shopping.md 里加一行 茶", {"shopping.md": "milk\nbread\neggs\n茶\n"}, []),
    ("创建文件夹 docs", {"docs/": ""}, []),
    ("把 debug 改成 true，文件是 settings.cfg", {"settings.cfg": "host=localhost\nport=8080\ndebug=true\n"}, []),
    ("settings.cfg 的内容", {}, [("localhost",), ("8080",)]),
    ("data 里有什么", {}, [("scores.csv",)]),
    ("数一下 shopping.md 有多少行", {}, [("3", "三行")]),
    ("把 hello.py 复制成 hi.py", {"hi.py": 'print("bonjour")\n'}, []),
    ("删除 shopping.md 里含 bread 的行", {"shopping.md": "milk\neggs\n"}, []),
    ("哪些文件里出现了 bonjour", {}, [("hello.py",)]),
    ("你会做什么", {}, [("文件", "file")]),
    ("再见", {}, [("再见", "拜拜", "bye")]),
)


def everyday() -> list[Example]:
    """All requests, one in each language in turn, each in a folder of its own with FILES."""
    pairs = zip(ENGLISH, CHINESE, strict=True)
    return [
        _example(language, number, row)
        for number, pair in enumerate(pairs)
        for language, row in zip(LANGUAGES, pair, strict=True)
    ]


def _example(language: Language, number: int, row: Row) -> Example:
    request, changes, answer = row
    tree = {**FILES, **{path: text or "" for path, text in changes.items() if not path.endswith("/")}}
    for gone in (path for path, text in changes.items() if text is None):
        del tree[gone]
    goal = Goal(
        files=tree,
        free=tuple(path for path, text in changes.items() if text == ANY),
        folders=tuple(path.rstrip("/") for path in changes if path.endswith("/")),
        answer=tuple(answer),
        answer_without=(*OTHERS.get(request, ()), *(() if request in GREETINGS else GREETED)),
    )
    return Example(
        f"everyday-{language}-{language}{number:02d}", "everyday", language, "", 0, "held_out",
        ("world", "names", "phrasing"), [], (request,), World(files=FILES), goal,
    )  # fmt: skip
