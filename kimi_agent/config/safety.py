"""What may be reached, run and undone, as plain data: parts of `Config`."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from kimi_agent.config.fields import internal, required


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """`allow_private` lets FetchURL reach loopback, private and metadata addresses."""

    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class BoxConfig:
    """The box that child processes run in, see guides/box.md. `write` are more paths that commands may write, `read` hidden ones
    that they may read, `hosts` names that they may reach (`*.example.com` for all below it), `env` variables
    of yours that they get although they are on no list (`NAME`, `PREFIX_*`).

    `mode` is `auto` (the best rung that holds), `require` (nothing starts without one) or `off`; `rung` takes one rung alone.
    """

    mode: Literal["auto", "require", "off"] = "auto"
    rung: Literal["", "R3", "R2", "R1"] = ""
    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """What is decided about calls that match a pattern, see guides/rules.md.

    `match` and `not_match` are examples that are checked when the rule is read. `cwd` and `exe` bind a rule that allows to a
    folder and to the file of a program; "always" writes them.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset({"scope"})

    decision: Literal["allow", "ask", "deny"] = required("ask")
    pattern: str = required("")
    reason: str = ""
    match: tuple[str, ...] = ()
    not_match: tuple[str, ...] = ()
    cwd: str = ""
    exe: str = ""
    where: str = internal(default="")


@dataclass(frozen=True, slots=True)
class PermissionConfig:
    """Rules of the user. Those of other files are read from `rules.toml`, see guides/rules.md."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"dangerous_command_guard"})

    rules: tuple[RuleConfig, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotsConfig:
    """What is saved of files before the agent changes them, see guides/rewind.md. Sizes are in MB: of one file, of everything.

    `exclude` names folders, wherever they lie, of which nothing is saved; `max_files` is how many files a workspace may have to
    be saved as a whole.
    """

    enabled: bool = True
    max_file_mb: Annotated[float, Meta(gt=0)] = 10.0
    max_total_mb: Annotated[float, Meta(gt=0)] = 4000.0
    max_files: Annotated[int, Meta(gt=0)] = 200_000
    exclude: tuple[str, ...] = (
        "node_modules", ".venv", "venv", "__pycache__", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache",
        ".gradle",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrustConfig:
    """Whether what a folder tells the model (AGENTS.md, skills, commands, types of agents) is asked about before it is read.

    `folders` is `ask`, or `always`: nothing is asked, as for people who open their own folders alone, and in images of builds. In
    a folder with something that nobody has trusted, commands write nothing but temporary files.
    """

    folders: Literal["ask", "always"] = "ask"
