"""Files of permission rules: `[[permission.rules]]`, in config.toml and in files of their own."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kimi_agent.config.file import Problem, Source, fill, parse_source, short_path
from kimi_agent.config.safety import PermissionConfig, RuleConfig
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.head import read_head
from kimi_agent.core.trust import Reader, Untrusted

MANAGED = Path("/etc/kimi/rules.toml")
"""Of who manages the machine."""
FILE = "rules.toml"
PROJECT = Path(".kimi") / FILE
_BYTES = 1_000_000


def placed(rules: Sequence[RuleConfig], source: Source) -> tuple[RuleConfig, ...]:
    """The rules with file and line of each."""
    return tuple(
        replace(rule, where=source.place(("permission", "rules", str(index)))) for index, rule in enumerate(rules)
    )


def read_rules(path: Path, read: Reader = read_head) -> tuple[tuple[RuleConfig, ...], list[str]]:
    """The rules of a file of its own, and what is wrong with it without being fatal; nothing where there is none.

    Raises ConfigError for a file that cannot be read.
    """
    name = short_path(path)
    text = _text(path, name, read)
    if text is None:
        return (), []
    source = parse_source(text, name)
    problems: list[Problem] = []
    config = fill(PermissionConfig, source.data.get("permission", {}), problems, ("permission",))
    others = [Problem((key,), f'unknown key "{key}"', fatal=False) for key in source.data.keys() - {"permission"}]
    if fatal := [source.describe(problem) for problem in problems if problem.fatal]:
        raise ConfigError("\n".join(fatal), "Fix that; the file is left as it is.")
    return placed(config.rules, source), [source.describe(problem) for problem in (*problems, *others)]


def _text(path: Path, name: str, read: Reader) -> str | None:
    """What the file holds; None where there is none, or where `read` leaves it out."""
    try:
        data = read(path, _BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, Untrusted):
        return None
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror or error}") from None
    except ValueError:
        raise ConfigError(f"{name} is not a regular file") from None
    if len(data) > _BYTES:
        raise ConfigError(f"{name} is larger than {_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 text (byte {error.start})") from None
