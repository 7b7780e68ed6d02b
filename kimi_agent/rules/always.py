"""The rule that "always" adds for a command: these very words, this program, this folder. Many commands may not have one."""

import os
import shlex
import shutil
from collections.abc import Sequence

from kimi_agent.rules.names import NEVER_ALWAYS
from kimi_agent.rules.reader import name_of
from kimi_agent.rules.rule import Rule


def rule_for(words: Sequence[str], cwd: str, root: str) -> Rule | None:
    """None for interpreters, wrappers, package runners, git and its like, and for programs that lie in the workspace by path."""
    word = words[0]
    found = shutil.which(os.path.join(cwd, word) if "/" in word else word)  # noqa: PTH118 - an absolute path replaces the folder
    if found is None:
        return None
    real = os.path.realpath(found)
    if _may_run_others(word) or _may_run_others(real):
        return None
    if "/" in word and real.startswith(root.rstrip("/") + "/"):
        return None  # the model may write another program there
    if any(char in word for word in words for char in "*?()\n") or words[-1].endswith(":"):
        return None  # in a pattern they would say more
    argument = shlex.join(words)
    return Rule("allow", f"Shell({argument})", "shell", argument, "user", "added by you", cwd=root, exe=real)


def _may_run_others(word: str) -> bool:
    name = name_of(word)
    return bool({name, name.rstrip("0123456789.-"), name.partition(".")[0], name.partition("-")[0]} & NEVER_ALWAYS)
