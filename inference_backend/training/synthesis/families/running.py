"""Deeds that run programs: a script, a script that is written first, the tests."""

from inference_backend.training.synthesis.deeds import Deed, Doing, Place
from inference_backend.training.synthesis.draw import Draw
from inference_backend.training.synthesis.functions import FUNCTIONS, module_of, test_of
from inference_backend.training.synthesis.goals import Command
from inference_backend.training.synthesis.task import Call
from inference_backend.training.synthesis.texts import lines_of

PYTEST = "python3 -m pytest -q"


def program(path: str) -> str:
    return f"{'bash' if path.endswith('.sh') else 'python3'} {path}"


def printed(draw: Draw, path: str, seen: str) -> str:
    """The sentence that tells what a script has printed."""
    lines = seen.strip().splitlines()
    if len(lines) == 1:
        return draw.both(f"{path} printed: {lines[0]}", f"{path} 输出：{lines[0]}")
    told = "\n".join(lines)
    return draw.both(f"{path} printed:\n{told}", f"{path} 输出：\n{told}")


def run_script(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """A script of one to three lines of output."""
    path = draw.file(("py", "py", "sh"))
    texts = [draw.sentence() for _ in range(draw.number(1, 3))]
    if path.endswith(".sh"):
        place.lay(path, "".join(f'echo "{text}"\n' for text in texts))
    elif draw.chance(0.4):
        a, b = draw.number(2, 60), draw.number(2, 60)
        texts = [str(a + b)]
        place.lay(path, f"a = {a}\nb = {b}\nprint(a + b)\n")
    else:
        place.lay(path, "".join(f'print("{text}")\n' for text in texts))

    def do() -> Doing:
        seen = yield Call("Shell", {"command": program(path)})
        return printed(draw, path, seen)

    return Deed(
        draw.ask("run_script", bare, path=path), do, tells=True, answer=tuple((text,) for text in texts)
    )  # fmt: skip


def write_script(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """A new script, and what it prints."""
    path = draw.file(("py",))
    kind = draw.pick(("text", "text", "sum", "times"))
    if kind == "text":
        text = draw.sentence()
        asks, code, said = draw.ask("write_script", bare, path=path, text=text), f'print("{text}")\n', [text]
    elif kind == "sum":
        a, b = draw.number(2, 99), draw.number(2, 99)
        asks = draw.ask("write_script_sum", bare, path=path, na=str(a), nb=str(b))
        code, said = f"print({a} + {b})\n", [str(a + b)]
    else:
        text, count = draw.word(), draw.number(2, 4)
        asks = draw.ask("write_script_times", bare, path=path, text=text, n=str(count))
        code, said = f'for _ in range({count}):\n    print("{text}")\n', [text] * count
    place.write(path, code)

    def do() -> Doing:
        yield Call("WriteFile", {"path": path, "content": code})
        seen = yield Call("Shell", {"command": program(path)})
        return printed(draw, path, seen)

    command = Command(("python3", path), tuple(dict.fromkeys(said)))
    return Deed(asks, do, tells=True, answer=tuple((text,) for text in said), commands=(command,), free=(path,))


def run_tests(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """Tests that pass, or one of which fails."""
    module = draw.module()
    kinds = draw.rng.sample(list(FUNCTIONS), draw.number(1, 3))
    names = [draw.function() for _ in kinds]
    fails = draw.chance(0.5)
    broken = draw.rng.randrange(len(kinds)) if fails else -1
    place.lay(
        f"{module}.py",
        module_of(draw, [(name, kind, n == broken) for n, (name, kind) in enumerate(zip(names, kinds, strict=True))]),
    )
    place.lay(f"test_{module}.py", test_of(draw, module, list(zip(names, kinds, strict=True))))

    def do() -> Doing:
        seen = yield Call("Shell", {"command": PYTEST})
        return told_tests(draw, seen)

    wanted = ((f"test_{names[broken]}",),) if fails else (("pass", "通过"),)
    return Deed(draw.ask("run_tests", bare), do, tells=True, answer=wanted)


def told_tests(draw: Draw, seen: str) -> str:
    """What a run of pytest says, in one sentence."""
    failed = [line.split("::")[1].split()[0] for line in lines_of(seen) if line.startswith("FAILED")]
    if failed:
        names = draw.listed(failed)
        return draw.both(f"{names} {'fails' if len(failed) == 1 else 'fail'}.", f"{names} 没有通过。")
    return draw.both("All tests pass.", "所有测试都通过了。")
