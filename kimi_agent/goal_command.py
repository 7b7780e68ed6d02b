"""The slash command /goal."""

import contextlib
from typing import TYPE_CHECKING

from kimi_agent.agent.goal import STATES, USAGE, parse_goal
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.goal import Goal

if TYPE_CHECKING:
    from kimi_agent.commands import Shell


async def goal_command(shell: "Shell", args: str) -> None:
    """`/goal` shows it, `/goal pause`, `resume` and `stop` change it, everything else sets one. Raises ConfigError."""
    session, wanted = shell.session, args.strip()
    if not wanted:
        shell.show(_shown(session.goal))
    elif wanted in STATES:
        shell.apply(session.change_goal(STATES[wanted]))
    else:
        if wanted != "resume":
            parse_goal(wanted)  # what is wrong is told now, also of a goal that has to wait
        if session.running:
            session.queue(f"/goal {wanted}")
        else:
            await shell.run(session.prompt(f"/goal {wanted}"))


def sets_goal(args: str) -> bool:
    """Whether `/goal` begins to work with these arguments."""
    wanted = args.strip()
    with contextlib.suppress(ConfigError):
        return wanted == "resume" or (wanted not in ("", *STATES) and parse_goal(wanted) is not None)
    return False


def _shown(goal: Goal | None) -> str:
    if goal is None:
        return f"There is no goal. `{USAGE}` sets one."
    lines = [f"- {goal.progress}, {goal.state}", f"- {goal.text[:500]}"]
    lines += [f"- check: `{goal.check}`"] if goal.check else []
    lines += [f"- {goal.told}"] if goal.told else []
    lines += ["", "`/goal resume` goes on."] if goal.state in ("paused", "blocked", "spent") else []
    return "\n".join(lines)
