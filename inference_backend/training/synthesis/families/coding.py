"""Families that change code: mend a bug that a test names, add a function with a test."""

from inference_backend.training.synthesis.deeds import Deed, Doing, Place
from inference_backend.training.synthesis.draw import Draw, NotDrawn
from inference_backend.training.synthesis.families.running import PYTEST
from inference_backend.training.synthesis.functions import FUNCTIONS, code_of, test_of
from inference_backend.training.synthesis.goals import Command
from inference_backend.training.synthesis.task import Call
from inference_backend.training.synthesis.texts import lines_of, numbered


def passes(module: str) -> Command:
    """Runs every test of a module; ends with an error when one fails. A tenth of the time that pytest takes to start."""
    run = f"import {module} as t; tests = [v for k, v in vars(t).items() if k.startswith('test_')]; [test() for test in tests]"
    return Command(("python3", "-c", f"{run}; print(len(tests), 'passed')"), (" passed",))


def fix_bug(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """A test fails because of one line: run it, read the module, mend the line, run it again."""
    module = draw.module()
    kinds = draw.rng.sample(list(FUNCTIONS), draw.number(1, 2))
    names = [draw.function() for _ in kinds]
    broken = draw.rng.randrange(len(kinds))
    kind, name = kinds[broken], names[broken]
    wrong = draw.pick([each for each in FUNCTIONS[kind].wrong if _shows(kind, each)])
    codes = [
        code_of(each, what, wrong=wrong if n == broken else "")
        for n, (each, what) in enumerate(zip(names, kinds, strict=True))
    ]
    place.lay(f"{module}.py", "\n\n".join(codes))
    place.lay(f"test_{module}.py", _test(draw, module, list(zip(names, kinds, strict=True)), name, wrong))
    place.write(f"{module}.py", "\n\n".join(code_of(each, what) for each, what in zip(names, kinds, strict=True)))

    def do() -> Doing:
        seen = yield Call("Shell", {"command": PYTEST})
        failed = next(line for line in lines_of(seen) if line.startswith("FAILED")).split("::test_")[1].split()[0]
        code = yield Call("ReadFile", {"path": f"{module}.py"})
        lines = numbered(code)
        at = next(n for n, line in enumerate(lines) if line.startswith(f"def {failed}("))
        doc, old = lines[at + 1].strip(), lines[at + 2]
        right = next(function.right for function in FUNCTIONS.values() if doc == f'"""Return {function.en}."""')
        edit = {"old": f"    {doc}\n{old}", "new": f"    {doc}\n    return {right}"}
        yield Call("StrReplaceFile", {"path": f"{module}.py", "edit": edit})
        yield Call("Shell", {"command": PYTEST})
        return draw.both(
            f"Fixed {failed} in {module}.py: it returns {right} now. All tests pass.",
            f"已修复 {module}.py 里的 {failed}：现在返回 {right}。所有测试都通过了。",
        )

    asks = draw.ask("fix_bug", bare, test=f"test_{name}", name=name, path=f"{module}.py", tests=f"test_{module}.py")
    return Deed(
        asks, do, tells=True, answer=(("pass", "通过"),), commands=(passes(f"test_{module}"),), free=(f"{module}.py",)
    )


def _shows(kind: str, wrong: str) -> bool:
    """Whether some case tells the wrong form from the right one."""
    return any(_answers(kind, wrong, given) != wanted for given, wanted in FUNCTIONS[kind].cases)


def _answers(kind: str, body: str, given: str) -> str:
    return repr(eval(f"(lambda {FUNCTIONS[kind].parameters}: {body})({given})", {})).replace("'", '"')  # noqa: S307 - ours


def _test(draw: Draw, module: str, functions: list[tuple[str, str]], broken: str, wrong: str) -> str:
    """Tests of which that of `broken` fails as long as it is wrong."""
    for _ in range(20):
        text = test_of(draw, module, functions)
        kind = next(kind for name, kind in functions if name == broken)
        given, wanted = text.split(f"assert {broken}(")[1].split("\n")[0].split(") == ")
        if _answers(kind, wrong, given) != wanted:
            return text
    raise NotDrawn("no case shows the bug")


def add_function(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """A function more at the end of a module, and a test of it in a file of its own."""
    module = draw.module()
    old, kind = draw.rng.sample(list(FUNCTIONS), 2)
    name, function = draw.function(), FUNCTIONS[kind]
    place.lay(f"{module}.py", code_of(draw.function(), old))
    given, wanted = function.cases[0]
    test = f"from {module} import {name}\n\n\ndef test_{name}():\n    assert {name}({given}) == {wanted}\n"
    place.write(f"{module}.py", f"{place.now[f'{module}.py']}\n\n{code_of(name, kind)}")
    place.write(f"test_{name}.py", test)

    def do() -> Doing:
        yield Call("ReadFile", {"path": f"{module}.py"})
        yield Call("WriteFile", {"path": f"{module}.py", "content": f"\n\n{code_of(name, kind)}", "mode": "append"})
        yield Call("WriteFile", {"path": f"test_{name}.py", "content": test})
        yield Call("Shell", {"command": PYTEST})
        return draw.both(
            f"Added {name} to {module}.py with a test in test_{name}.py. All tests pass.",
            f"已在 {module}.py 里加上 {name}，测试在 test_{name}.py。所有测试都通过了。",
        )

    asks = draw.ask(
        "add_function",
        bare,
        name=f"{name}({function.parameters})",
        path=f"{module}.py",
        what=draw.both(function.en, function.zh),
    )
    checks = "; ".join(f"assert {name}({given}) == {wanted}" for given, wanted in function.cases)
    commands = (
        Command(("python3", "-c", f"from {module} import {name}; {checks}")),
        passes(f"test_{name}"),
    )
    return Deed(
        asks, do, tells=True, answer=((name,),), commands=commands, free=(f"{module}.py", f"test_{name}.py")
    )  # fmt: skip
