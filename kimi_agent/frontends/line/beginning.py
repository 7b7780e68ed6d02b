"""What comes before the first prompt of line mode: what the person is told, and whether the folder is trusted."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kimi_agent.frontends.common.keymap import Keymap
from kimi_agent.trust_command import settle_trust

if TYPE_CHECKING:
    from kimi_agent.frontends.line.jobs import Jobs
    from kimi_agent.frontends.line.shell import LineShell


def notices_of_keys(keymap: Keymap, given: Mapping[str, Sequence[str]]) -> list[str]:
    from kimi_agent.frontends.line.keys import untold

    return [*keymap.notices, *untold(given)]


async def settle(shell: "LineShell", jobs: "Jobs") -> None:
    """Ask; the prompts that wait meanwhile are dropped when the person leaves."""
    if not await settle_trust(shell):
        jobs.take_waiting()
