"""Deeds in a git repository: what has changed, a commit, the last commit."""

from inference_backend.training.synthesis.deeds import Deed, Doing, Place
from inference_backend.training.synthesis.draw import DATA, TEXTS, Draw
from inference_backend.training.synthesis.goals import Command
from inference_backend.training.synthesis.task import Call
from inference_backend.training.synthesis.texts import lines_of
from inference_backend.training.synthesis.world import Commit


def _repository(draw: Draw, place: Place, changed: int, new: int) -> tuple[list[str], list[str]]:
    """Commits, and above them files that are changed or new; the paths of both."""
    committed: list[str] = []
    for _ in range(draw.number(1, 2)):
        files = {draw.file(TEXTS, nested=0.2, latin=True): draw.lines(1, 3) for _ in range(draw.number(1, 3))}
        place.commits.append(Commit(draw.sentence(1, 4), files))
        place.now |= files
        committed += files
    edited = sorted(committed[:changed])
    for path in edited:
        lines = place.now[path].splitlines()
        lines[draw.rng.randrange(len(lines))] = draw.sentence()
        place.lay(path, "".join(f"{line}\n" for line in lines))
    added = sorted(place.lay(draw.file(DATA, nested=0.0, latin=True), draw.lines(1, 2)) for _ in range(new))
    return edited, added


def git_status(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    changed, new = draw.pick(((1, 0), (0, 1), (1, 1), (2, 0), (0, 0), (1, 2)))
    edited, added = _repository(draw, place, changed, new)

    def do() -> Doing:
        seen = yield Call("Shell", {"command": "git status --short"})
        lines = lines_of(seen)
        changes = [line[3:] for line in lines if line.startswith(" M")]
        news = [line[3:] for line in lines if line.startswith("??")]
        told = [draw.both(f"Changed: {draw.listed(changes)}.", f"有改动：{draw.listed(changes)}。")] if changes else []
        told += [draw.both(f"New: {draw.listed(news)}.", f"新文件：{draw.listed(news)}。")] if news else []
        return draw.both(" ", "").join(told) or draw.both("Nothing has changed.", "没有任何改动。")

    wanted = tuple((path,) for path in (*edited, *added)) or (("nothing", "no change", "clean", "没有"),)
    return Deed(draw.ask("git_status", bare), do, tells=True, answer=wanted)


def git_diff(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    """One line of one file is another now."""
    _repository(draw, place, 0, 0)
    path = draw.pick(list(place.now))
    lines = place.now[path].splitlines()
    at = draw.rng.randrange(len(lines))
    old, new = lines[at], draw.sentence()
    place.lay(path, "".join(f"{new if n == at else line}\n" for n, line in enumerate(lines)))

    def do() -> Doing:
        seen = yield Call("Shell", {"command": "git diff"})
        rows = seen.splitlines()
        file = next(row for row in rows if row.startswith("+++ ")).removeprefix("+++ b/")
        was = next(row for row in rows if row.startswith("-") and not row.startswith("---"))[1:]
        now = next(row for row in rows if row.startswith("+") and not row.startswith("+++"))[1:]
        return draw.both(f'In {file}, "{was}" became "{now}".', f"{file} 里，“{was}”变成了“{now}”。")

    return Deed(draw.ask("git_diff", bare), do, tells=True, answer=((path,), (old,), (new,)))


def git_commit(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    changed = draw.number(0, 2)
    _repository(draw, place, changed, draw.number(0 if changed else 1, 2))
    message = draw.sentence(1, 5)

    def do() -> Doing:
        yield Call("Shell", {"command": f'git add -A && git commit -q -m "{message}"'})
        return draw.both(f"Committed everything: {message}", f"已提交所有改动：{message}")

    commands = (
        Command(("git", "log", "-1", "--format=[%s]"), (f"[{message}]",)),
        Command(("git", "diff", "--quiet", "HEAD")),
    )
    return Deed(
        draw.ask("git_commit", bare, text=message), do, answer=((message, "commit", "提交"),), commands=commands
    )


def git_log(draw: Draw, place: Place, *, bare: bool = False) -> Deed:
    _repository(draw, place, 0, 0)
    message = place.commits[-1].message

    def do() -> Doing:
        seen = yield Call("Shell", {"command": "git log -1 --format=%s"})
        return draw.both(f"The last commit is: {seen.strip()}", f"最后一次提交是：{seen.strip()}")

    return Deed(draw.ask("git_log", bare), do, tells=True, answer=((message,),))
