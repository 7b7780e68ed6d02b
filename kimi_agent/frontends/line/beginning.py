"""What comes before the first prompt of line mode: what the person is told, whether the folder is trusted, and its servers."""

from typing import TYPE_CHECKING

from kimi_agent.agent.late import left_out, trusts
from kimi_agent.agent.session_servers import warm
from kimi_agent.frontends.common.keymap import Keymap
from kimi_agent.frontends.common.look import Look
from kimi_agent.mcp_approval import settle_servers, unapproved
from kimi_agent.trust_command import settle_trust

if TYPE_CHECKING:
    from kimi_agent.frontends.line.jobs import Jobs
    from kimi_agent.frontends.line.shell import LineShell


def notices(shell: "LineShell", keymap: Keymap, look: Look) -> list[str]:
    if not shell.screen.obeys:
        return list(shell.agent.notices)
    from kimi_agent.frontends.line.keys import untold

    return [*shell.agent.notices, *keymap.notices, *untold(look.keys)]


def begin(shell: "LineShell", jobs: "Jobs") -> None:
    """Ask what is to be asked before the first prompt. The prompts that wait are dropped when the person leaves."""

    async def settle() -> None:
        if not await settle_trust(shell):
            jobs.take_waiting()
        elif trusts(shell.agent, shell.session.cwd):
            warm(shell.session)
            await settle_servers(shell)

    if left_out(shell.agent, shell.session.cwd) or unapproved(shell.session):
        jobs.start("", settle)
