"""What every front end needs before it runs: an agent out of flags and configuration, and the log."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.cli.options import Options
from kimi_agent.config import Config

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent
    from kimi_agent.plugin import Plugin


def make_agent(config: Config, cwd: Path, options: Options, plugins: "Sequence[Plugin]", *, headless: bool) -> "Agent":
    """The agent that the flags and the configuration ask for. Raises ConfigError."""
    from kimi_agent.build import build
    from kimi_agent.config.load import EMBEDDED

    agent = build(
        config, cwd=cwd, home=options.home, extra_roots=options.extra_roots(), skill_dirs=options.skill_dirs(),
        plugins=plugins, agent_name=options.agent, agent_file=options.agent_file, workspace=options.workspace,
        trust="always" if options.trust else "", no_box="--no-sandbox was given" if options.no_sandbox else "",
        accepts_no_box=options.accept_no_sandbox, mcp=options.mcp_flags() if options.has_mcp_flags else None, headless=headless,
    )  # fmt: skip
    if config.default_model == EMBEDDED:
        from kimi_agent.embedded import TOLD

        agent.notices = (TOLD, *agent.notices)
    return agent


def log_to_file(options: Options) -> None:
    """With --debug, everything that is logged goes to a file, without keys."""
    if not options.debug:
        return
    from kimi_agent.cli.redacting import RedactedLines, redactor_for

    folder = options.home / "logs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / "kimi.log"
    file.touch(mode=0o600)
    handler = logging.FileHandler(file)
    form = "%(asctime)s %(process)d %(levelname)s %(name)s %(message)s"
    handler.setFormatter(RedactedLines(redactor_for(options), form))
    logging.basicConfig(handlers=[handler], level=logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells whole URLs: some services take their key in them
