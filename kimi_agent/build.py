"""The composition root: the only place that knows concrete classes. `Config` goes in, an `Agent` comes out.

Nothing here talks to the network or the disk; providers are made when a session first needs one.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.agent.agent import Agent
from kimi_agent.agent.agent_types import AgentTypes, MainAgent
from kimi_agent.agent.runner import Limits
from kimi_agent.agent.skills import Library
from kimi_agent.agent.store import SessionStore
from kimi_agent.agent.subagents import Budget
from kimi_agent.boxed import caution_of, hooks_of, make_box, snapshots_of, workspaces_of
from kimi_agent.builtin import SKILLS, builtin_plugin
from kimi_agent.config import Config, ModelConfig
from kimi_agent.config.keys import keys_of
from kimi_agent.core.access import BoxView
from kimi_agent.core.attach import Attach
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import KimiError, NoModelError
from kimi_agent.core.event import Event
from kimi_agent.core.provider import Endpoint, Model, Prices, Provider
from kimi_agent.core.redact import Redactor, secret_variables
from kimi_agent.core.tool import Tool
from kimi_agent.core.trust import EVERYTHING, Trust
from kimi_agent.folder_trust import own_folders, settings_left_out, trust_of
from kimi_agent.mcp_servers import servers_of
from kimi_agent.parts import Parts, assemble
from kimi_agent.plugin import Host, Plugin
from kimi_agent.policy import Policies

if TYPE_CHECKING:
    from kimi_agent.mcp.files import Flags

SERVED_TIMEOUT = 5.0
"""Seconds that a server gets to list its models."""
NO_LIST = ("scripted", "chaos")


def build(
    config: Config,
    *,
    cwd: Path,
    home: Path,
    extra_roots: Sequence[Path] = (),
    skill_dirs: Sequence[Path] = (),
    plugins: Sequence[Plugin] = (),
    agent_name: str = "",
    agent_file: Path | None = None,
    workspace: str = "local",
    trust: str = "",
    no_box: str = "",
    accepts_no_box: bool = False,
    mcp: "Flags | None" = None,
    headless: bool = False,
) -> Agent:
    """Put the agent together. Raises ConfigError for a configuration that cannot work.

    `agent_name` and `agent_file` choose the type of the main agent, see docs/guides/agents.md; `workspace` is where its tools
    work, by name. `trust` is `ask` or `always`, empty for what the configuration says. `no_box` says why child processes run in
    no box; commands are then asked for unless `accepts_no_box`. `mcp` are flags; `headless`: there is nobody to ask.
    """
    plugin_agents = [folder for plugin in plugins for folder in plugin.agents]
    redactor = redactor_of(config)
    trusted = trust_of(trust or config.trust.folders, home, own_folders(config, skill_dirs, plugins), redactor.text)
    named = bool(agent_name or agent_file)
    main = main_agent(plugin_agents, cwd, home, agent_name, agent_file, trusted(cwd)) if named else MainAgent()
    box, caution = make_box(config, home, no_box), caution_of(trusted)
    parts = parts_of(config, main, plugins, box)
    policies = Policies(config, home, extra_roots, local=workspace == "local", trusted=trusted)

    def make_tools(model: Model, folder: Path) -> list[Tool]:
        tools = tools_for(config, parts, model, folder, home, policies)
        agent.notices = (*agent.notices, *(text for text in parts.problems if text not in agent.notices))
        return tools

    loop = config.loop_control
    steps = min(loop.max_steps_per_turn, main.kind.max_steps or loop.max_steps_per_turn)
    agent = Agent(
        home=home,
        redactor=redactor,
        trust=trusted,
        cwd=cwd,
        store=SessionStore(home),
        models={},
        default_model="",
        make_provider=lambda name: provider_chain(config, parts, agent.models, name),
        make_tools=make_tools,
        make_attach=lambda model, folder: attach_for(config, parts, model, policies.private(folder)),
        make_rules=policies.open,
        is_private=policies.is_private,
        make_workspace=workspaces_of(parts, workspace, extra_roots, box, caution, config.box.env),
        make_hooks=hooks_of(config, parts, box, extra_roots, caution),
        box=box,
        accepts_no_box=accepts_no_box,
        gates=parts.gates,
        commands=parts.commands,
        limits=Limits(steps, loop.compaction_trigger_ratio, loop.reserved_context_size),
        thinking=config.effort,
        notices=(*config.warnings, *parts.problems, *main.types.broken, *settings_left_out(cwd, home)),
        main_agent=main.kind,
        find_agents=lambda folder: main.types if named else agent_types(plugin_agents, folder, home, trusted(folder)),
        budget=budget_of(config),
        offers=lambda name: offers(config, name),
        max_tasks=config.background.max_running_tasks,
        evidence=loop.evidence,
        rounds=loop.max_ralph_iterations,
        extra_roots=extra_roots,
        find_skills=lambda folder: find_skills(config, parts, folder, home, skill_dirs, trusted(folder)),
        export=lambda events, path: export_session(agent.redactor, events, path),
        make_snapshots=snapshots_of(config.snapshots, home, workspace, box),
    )
    agent.make_servers = servers_of(agent, config, parts, box, mcp, caution, has_person=not headless)
    agent.reconfigure = lambda changed: configure_models(agent, changed, parts)
    agent.reconfigure(config)
    return agent


def agent_types(plugins: Sequence[Path], folder: Path, home: Path, trust: Trust = EVERYTHING) -> AgentTypes:
    """The types of agents that are known in a folder; `plugins` are folders of such files."""
    from kimi_agent.agent.agent_files import discover_agents

    user = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home would raise where there is no home
    return discover_agents(folder, home, user, plugins, trust)


def parts_of(config: Config, main: MainAgent, plugins: Sequence[Plugin], box: BoxView) -> Parts:
    think = "Think" in (*config.tools.enabled, *(main.kind.tools or ()))
    moves = config.background.bash_auto_background_on_timeout
    return assemble(builtin_plugin(think=think, moves_on_timeout=moves, box=box), plugins)


def main_agent(plugins: Sequence[Path], cwd: Path, home: Path, name: str, file: Path | None, trust: Trust) -> MainAgent:
    """The agent that the flags ask for, with the types of subagents that it knows. Raises ConfigError."""
    from kimi_agent.agent.agent_files import choose_agent

    return choose_agent(agent_types(plugins, cwd, home, trust), cwd, name, file, trust)


def budget_of(config: Config) -> Budget:
    """What one run of a subagent may use."""
    given = config.subagent
    seconds = given.timeout_ms / 1000
    return Budget(given.max_steps, given.max_tokens, seconds, config.background.agent_task_timeout_s)


def find_skills(
    config: Config, parts: Parts, folder: Path, home: Path, only: Sequence[Path] = (), trust: Trust = EVERYTHING
) -> Library:
    """The skills and custom commands of sessions in a folder; `only` replaces every folder where skills are looked for."""
    from kimi_agent.agent.skill_files import Places, discover

    user = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home would raise where there is no home
    extra = tuple(Path(os.path.expanduser(name)) for name in config.extra_skill_dirs)  # noqa: PTH111
    offered = offers(config, "Skill")
    places = Places(
        home,
        user,
        extra,
        tuple(only),
        config.merge_all_available_skills,
        tuple(parts.skills),
        tuple(parts.prompts),
        (SKILLS,),
    )
    reserved = frozenset(name for c in parts.commands.values() for name in (c.name, *c.aliases))
    return discover(folder, places, reserved=reserved, offered=offered, trust=trust)


def export_session(redactor: Redactor, events: Sequence[Event], path: Path) -> None:
    """Write a session as the ending of the path says. Raises ConfigError."""
    from kimi_agent.agent.store import keepable
    from kimi_agent.frontends.export import write

    write([keepable(event, redactor)[0] for event in events], path)


def redactor_of(config: Config) -> Redactor:
    """Knows the keys of the configuration and of the environment."""
    return Redactor(secret_variables(os.environ) | keys_of(config))


def configure_models(agent: Agent, config: Config, parts: Parts) -> None:
    """Give the agent the models of a configuration, also a running one after a login."""
    agent.models = {name: model_of(name, entry) for name, entry in config.models.items()}
    agent.default_model = config.default_model
    for place, key in keys_of(config).items():
        agent.redactor.add(place, key)
    agent.make_provider = lambda name: provider_chain(config, parts, agent.models, name)
    agent.served = lambda: served_models(config)


async def served_models(config: Config) -> list[Model]:
    """What the configured providers list at GET /models; one that cannot be asked is left out."""
    from kimi_agent.providers.models import list_models

    async def ask(name: str) -> list[Model]:
        try:
            async with asyncio.timeout(SERVED_TIMEOUT):
                return await list_models(endpoint_of(config, ModelConfig(provider=name)))
        except (KimiError, TimeoutError, OSError):
            return []

    names = [name for name, provider in config.providers.items() if provider.type not in NO_LIST]
    return [model for found in await asyncio.gather(*map(ask, names)) for model in found]


def model_of(name: str, entry: ModelConfig) -> Model:
    given = entry.prices
    prices = Prices(given.input, given.output, given.cached) if given else None
    capabilities = entry.capabilities or frozenset()
    return Model(name, entry.model or name, entry.provider, entry.max_context_size, capabilities, prices, entry.profile)


def endpoint_of(config: Config, entry: ModelConfig) -> Endpoint:
    provider = config.providers[entry.provider]
    sampling = dict(entry.sampling)
    if config.thinking.keep and provider.type == "kimi" and "thinking" not in sampling:
        sampling["thinking"] = {"keep": config.thinking.keep}
    return Endpoint(
        name=entry.provider,
        kind=provider.type,
        base_url=provider.base_url,
        api_key=provider.api_key,
        headers=provider.custom_headers,
        reasoning_field=provider.reasoning_key,
        sampling=sampling,
        connect_timeout=provider.connect_timeout,
        first_byte_timeout=provider.first_byte_timeout,
        idle_timeout=provider.idle_timeout,
    )


def provider_chain(config: Config, parts: Parts, models: dict[str, Model], name: str) -> Provider:
    """The provider of a model with retries around it, and the configured fallback models behind it.

    Raises NoModelError when the model is unknown or none is configured, ConfigError when its provider cannot be made.
    """
    from kimi_agent.providers.retry import Fallback, Retry

    if not models:
        raise NoModelError("no model is configured", "Run `kimi login`, or set KIMI_API_KEY.")
    if name not in models:
        known = ", ".join(models)
        raise NoModelError(
            f"unknown model {name!r}" if name else "no model is chosen", f"Known: {known}. Pick one with -m."
        )

    def entry(each: str) -> ModelConfig:
        """A model that was picked from a server's list has no entry of its own."""
        return config.models.get(each) or ModelConfig(provider=models[each].provider, model=models[each].id)

    names = [name, *(other for other in config.fallback_models if other != name and other in models)]
    chain: list[Provider] = [
        Retry(
            _unreliable(parts.provider(endpoint_of(config, entry(each)), models[each]), config.chaos),
            attempts=config.loop_control.max_retries_per_step + 1,
        )
        for each in names
    ]
    return chain[0] if len(chain) == 1 else Fallback(chain)


def _unreliable(provider: Provider, seed: int | None) -> Provider:
    """`provider` itself, or with the faults of `--provider chaos:SEED`: inside the retries, which are what it tests."""
    if seed is None:
        return provider
    from kimi_agent.providers.chaos import Chaos

    return Chaos(provider, seed)


def tools_for(config: Config, parts: Parts, model: Model, folder: Path, home: Path, policies: Policies) -> list[Tool]:
    """The tools that the configuration and the model allow, in their fixed order."""

    def host(name: str) -> Host:
        return Host(
            model, folder, home, config.plugins.get(name, {}), config.network.allow_private, parts.readers,
            config.services, policies.private(folder), policies.proved(folder),
        )  # fmt: skip

    return parts.tools(host, lambda name: offers(config, name))


def attach_for(config: Config, parts: Parts, model: Model, is_private: Callable[[str], bool]) -> Attach:
    """What reads the mentions (`@file`) of a person's prompts."""
    from kimi_agent.tools.attach import make_attach

    def is_secret(effect: Effect) -> bool:
        return effect.kind == "read" and is_private(effect.target)

    private = config.network.allow_private
    return make_attach(parts.readers, media=model.sees, allow_private=private, is_secret=is_secret)


def offers(config: Config, tool: str) -> bool:
    """Whether the configuration lets the model have a tool."""
    return (not config.tools.enabled or tool in config.tools.enabled) and tool not in config.tools.disabled
