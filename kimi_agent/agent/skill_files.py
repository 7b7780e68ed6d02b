"""Where skills and custom commands are looked for: in the project, in the person's home, and where the configuration says."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from kimi_agent.agent import frontmatter
from kimi_agent.agent.permissions import is_secret
from kimi_agent.agent.skills import DESCRIPTION_SIZES, TEXT_LIMIT, Library, Skill
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import SessionError
from kimi_agent.core.head import read_head
from kimi_agent.core.project import project_root
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.core.trust import EVERYTHING, Reader, Trust, Untrusted

HEAD_LIMIT = 16 * 1024
"""Bytes of a file that are looked at for its head."""
MAX_FILES = 1000
"""Entries of one folder that are looked at."""
BRANDS, GENERIC = (".kimi", ".claude", ".codex"), (".agents",)

NAME = re.compile(r"\w[\w.:-]{0,63}\Z")
_HIDDEN = re.compile(r"⟨U\+[0-9A-F]{4,6}⟩")


class Places(Struct, frozen=True):
    """Where to look besides the project: `home` is `$KIMI_HOME`, `user` the person's home folder.

    `extra` folders may be relative to the project's root. `only` replaces every folder of skills but `built_in`. `merge` False
    takes the first of the folders .kimi, .claude and .codex that exists. What plugins bring may be single files; their commands
    come with the plugin's name.
    """

    home: Path
    user: Path
    extra: tuple[Path, ...] = ()
    only: tuple[Path, ...] = ()
    merge: bool = True
    plugin_skills: tuple[Path, ...] = ()
    plugin_commands: tuple[tuple[str, Path], ...] = ()
    built_in: tuple[Path, ...] = ()


def discover(
    cwd: Path, places: Places, *, reserved: Iterable[str] = (), offered: bool = True, trust: Trust = EVERYTHING
) -> Library:
    """What a session in `cwd` can call: project, user, extra, plugins, built-in; the first name wins.

    Files that `trust` refuses are left out without a word: it knows them.
    """
    read_skill, read_command = trust.reader("skill"), trust.reader("command")
    root, project = project_folders(cwd, places.user)
    skills: dict[str, Skill] = {}
    commands: dict[str, Skill] = {}
    broken: list[str] = []
    user_brands = [places.home, *(places.user / brand for brand in BRANDS[1:])]

    if places.only:
        wanted: list[tuple[Path, Path | None]] = [(folder, None) for folder in places.only]
    else:
        wanted = []
        for folder in project:
            wanted += [(f / "skills", root) for f in _merged([folder / b for b in BRANDS], places.merge)]
            wanted += [(folder / name / "skills", root) for name in GENERIC]
        generic = [places.user / ".agents", places.user / ".config" / "agents"]
        wanted += [(f / "skills", None) for f in (*_merged(user_brands, places.merge), *generic)]
        wanted += [(folder, None) for folder in (*(root / name for name in places.extra), *places.plugin_skills)]
    wanted += [(folder, None) for folder in places.built_in]
    for folder, inside in wanted:
        _gather(skills, _skill_files(folder), "skill", inside, broken, read_skill, plugins=places.plugin_skills)
    for folder in project:
        for brand in BRANDS[:2]:
            _gather(commands, _command_files(folder / brand / "commands"), "command", root, broken, read_command)
    for folder in user_brands[:2]:
        _gather(commands, _command_files(folder / "commands"), "command", None, broken, read_command)
    taken = frozenset(name.casefold() for name in reserved)
    for plugin, folder in places.plugin_commands:
        own: dict[str, Skill] = {}
        _gather(own, _command_files(folder), "command", None, broken, read_command)
        for name, command in own.items():
            long = f"{plugin}:{command.name}"
            short = _added(commands, command, "", broken) is command and name not in taken
            commands.setdefault(long.casefold(), command if short else replace(command, name=long))
    return Library(skills, commands, tuple(broken), taken, offered)


def project_folders(cwd: Path, user: Path) -> tuple[Path, list[Path]]:
    """The root of the project around `cwd`, and its folders from `cwd` up to it; the person's home is none of them."""
    root = project_root(cwd)
    project = [folder for folder in (cwd, *cwd.parents) if folder == root or root in folder.parents]
    return root, [folder for folder in project if folder != user]  # its folders are the person's own


def _merged(folders: list[Path], merge: bool) -> list[Path]:
    if merge:
        return folders
    return [folder for folder in folders if (folder / "skills").is_dir()][:1]


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name, hidden ones left out; nothing when it cannot be read."""
    try:
        with os.scandir(folder) as found:
            first = [entry for _, entry in zip(range(MAX_FILES), found, strict=False)]
    except OSError:
        return []
    return sorted((e for e in first if not e.name.startswith(".")), key=lambda entry: entry.name)


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """A link that leads in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _skill_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Names and paths: `NAME/SKILL.md`, and `NAME.md`; `folder` may be such a file itself."""
    if folder.suffix.lower() == ".md":
        yield folder.parent.name if folder.stem.lower() == "skill" else folder.stem, str(folder)
    for entry in entries(folder):
        if entry.name.lower().endswith(".md"):
            yield entry.name[:-3], entry.path
        elif is_folder(entry):
            yield entry.name, os.path.join(entry.path, "SKILL.md")  # noqa: PTH118 - a hundred of them at every start


def _command_files(folder: Path, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and paths: `NAME.md`, and `GROUP/NAME.md` as GROUP:NAME; `folder` may be such a file itself."""
    if folder.suffix.lower() == ".md":
        yield folder.stem, str(folder)
    for entry in entries(folder):
        if entry.name.lower().endswith(".md"):
            yield prefix + entry.name[:-3], entry.path
        elif not prefix and is_folder(entry):
            yield from _command_files(Path(entry.path), f"{entry.name}:")


def _gather(
    found: dict[str, Skill],
    files: Iterable[tuple[str, str]],
    kind: Literal["skill", "command"],
    inside: Path | None,
    broken: list[str],
    read: Reader,
    plugins: Sequence[Path] = (),
) -> None:
    """Add the files whose names are new. Those of a project must lie `inside` it: a link could show what it must not.

    The person is told where the file of a project, which may be a stranger's, has the name of another one, and where two of
    `plugins` have one name.
    """
    bound = bound_of(inside) if inside is not None else ""
    for name, path in files:
        try:
            skill = _load(name, path, kind, bound, read, broken)
        except (FileNotFoundError, Untrusted):  # the first: a folder beside the skills, or a link to nothing
            continue
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
            broken.append(f"The {kind} {one_line(path)} is left out: {reason}.")
            continue
        first = _added(found, skill, bound, broken)
        if first is skill:
            broken += _broken_flow(skill) if skill.flow else []
        elif _within(skill, plugins) and _within(first, plugins) and not _alike(first.path, skill.path):
            broken.append(f"The skill {one_line(path)} is left out: {one_line(str(first.path))} is one of that name.")


def _added(found: dict[str, Skill], skill: Skill, bound: str, broken: list[str]) -> Skill:
    """What is found by the skill's name: the first one of it. A person is told of a project's in the place of another one."""
    first = found.setdefault(skill.name.casefold(), skill)
    if first is not skill and first.of_project and not bound and not _alike(first.path, skill.path):
        broken.append(
            f"The {skill.kind} {first.name} is that of this project, {one_line(str(first.path))}, "
            f"in place of that of {one_line(str(skill.path))}."
        )
    return first


def _within(skill: Skill, folders: Sequence[Path]) -> bool:
    return any(folder == skill.path or folder in skill.path.parents for folder in folders)


def _alike(path: Path, other: Path) -> bool:
    """Whether two files say the same: many people have one skill in a project and at home."""
    try:
        return read_head(path, TEXT_LIMIT) == read_head(other, TEXT_LIMIT)
    except (OSError, ValueError):
        return False


def bound_of(folder: Path) -> str:
    """What `check_inside` takes: resolved once for many files."""
    return os.path.join(os.path.realpath(folder), "")  # noqa: PTH118


def check_inside(path: Path | str, bound: str) -> None:
    """Raises ValueError for a file that does not really lie inside of `bound` ("" is anywhere), and for a secret one."""
    real = os.path.realpath(path)
    if not real.startswith(bound) or is_secret(Effect("read", real)):
        raise ValueError("it is a link out of the project, or to a secret file")


def _broken_flow(skill: Skill) -> list[str]:
    """What is wrong with a flow's diagram: it stays a skill, and cannot be run."""
    try:
        skill.run()
    except SessionError as error:
        return [f"{one_line(str(error))} ({one_line(str(skill.path))})"]
    return []


def _load(name: str, path: str, kind: Literal["skill", "command"], bound: str, read: Reader, told: list[str]) -> Skill:
    if bound:
        check_inside(path, bound)
    head = read(path, HEAD_LIMIT).decode("utf-8", "replace")
    values, body = frontmatter.split(head)
    told += frontmatter.refused(values, one_line(path)) if bound else []
    given = values.get("name") if kind == "skill" else None
    name = re.sub(r"\s+", "-", given.strip() if isinstance(given, str) and given.strip() else name)
    if not NAME.match(name):
        raise ValueError(f"{one_line(name, 80)!r} cannot be typed as a name")
    about = values.get("description") or next((line.lstrip("# ") for line in body.splitlines() if line.strip()), "")
    names = values.get("arguments", ())
    return Skill(
        name,
        one_line(about if isinstance(about, str) else " ".join(about)),
        Path(path),
        kind,
        tuple(re.findall(r"[A-Za-z_]\w*", names)) if isinstance(names, str) else names,
        one_line(_text(values.get("argumenthint", "")), 60),
        for_model=_text(values.get("disablemodelinvocation", "")).lower() not in ("true", "yes", "on"),
        for_person=_text(values.get("userinvocable", "")).lower() not in ("false", "no", "off"),
        flow=kind == "skill" and _text(values.get("type", "")).lower() == "flow",
        of_project=bool(bound),
        read=read,
    )


def _text(value: frontmatter.Value) -> str:
    return value if isinstance(value, str) else " ".join(f"[{item}]" for item in value)


def one_line(text: str, size: int = DESCRIPTION_SIZES[0]) -> str:
    """A stranger's text as one line that shows all that it says: no control, no invisible character."""
    text = _HIDDEN.sub("", visible(" ".join(plain(text).split())))
    return text if len(text) <= size else text[: size - 1] + "…"
