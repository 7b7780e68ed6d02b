"""Programs of their own that come with kimi: `kimi NAME ...` hands over to them before anything else is loaded.

They are found by the entry point group `kimi.programs` (`name = "package.module:main"`, of the arguments after the name to an
exit code). Only what is installed with this program is looked at.
"""

from collections.abc import Callable, Sequence

from kimi_agent.plugins.entry_points import entry_points

GROUP = "kimi.programs"


def program(word: str) -> Callable[[Sequence[str]], int] | None:
    """The program of that name, None where there is none."""
    if not (word.isascii() and word.isalpha() and word.islower()):
        return None
    target = next((target for name, target, ours in entry_points(GROUP) if ours and name == word), "")
    if not target:
        return None
    from importlib import import_module

    module, _, attribute = target.partition(":")
    found: Callable[[Sequence[str]], int] = getattr(import_module(module), attribute)
    return found
