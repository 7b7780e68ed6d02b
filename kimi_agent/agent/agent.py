"""The agent: what `build` puts together, and the door through which front ends open sessions."""

import contextlib
import functools
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from kimi_agent import __version__
from kimi_agent.agent.agent_tool import AgentTool
from kimi_agent.agent.agent_types import DEFAULT, AgentType, AgentTypes, allows, unknown_names
from kimi_agent.agent.late import late_of
from kimi_agent.agent.main_prompt import main_prompt
from kimi_agent.agent.permissions import Permissions
from kimi_agent.agent.plan_mode import EnterPlanMode, ExitPlanMode
from kimi_agent.agent.resumed import model_names, tell_what_changed
from kimi_agent.agent.runner import Limits, Models
from kimi_agent.agent.session import Session
from kimi_agent.agent.session_parts import Evidence, MakeHooks, SessionParts
from kimi_agent.agent.session_servers import take_servers
from kimi_agent.agent.skill_tool import SkillTool
from kimi_agent.agent.skills import Library
from kimi_agent.agent.store import SessionLog, SessionStore, clean
from kimi_agent.agent.subagents import Budget, SubagentParts, Subagents
from kimi_agent.core import event as ev
from kimi_agent.core.access import BoxView
from kimi_agent.core.ask import Ask
from kimi_agent.core.attach import Attach
from kimi_agent.core.errors import NoModelError, SessionError
from kimi_agent.core.gate import Gate
from kimi_agent.core.provider import Model, Provider
from kimi_agent.core.redact import Redactor
from kimi_agent.core.rules import Rules
from kimi_agent.core.secret import is_secret_path
from kimi_agent.core.servers import MakeServers, Servers
from kimi_agent.core.snapshot import MakeSnapshots
from kimi_agent.core.tool import Tool
from kimi_agent.core.trust import EVERYTHING, Trust
from kimi_agent.core.workspace import REPORTS, Workspace

NO_MODEL = Model("", "", "")


class Agent(Struct):
    """Parts that sessions are made of. The factories are called once per session (tools, workspace) or per model."""

    home: Path
    cwd: Path
    store: SessionStore
    models: dict[str, Model]
    default_model: str
    make_provider: Callable[[str], Provider]
    make_tools: Callable[[Model, Path], Sequence[Tool]]
    make_workspace: Callable[[Path, Path], Workspace]  # of a working folder and the session's scratch folder
    redactor: Redactor = field(default_factory=Redactor)  # of what is kept, shown and sent
    gates: Sequence[Gate] = ()
    commands: Mapping[str, Any] = field(default_factory=dict)  # slash commands by name; none: the built-in ones
    make_rules: Callable[[Path], Rules] | None = None  # those of a folder, as the files have them now
    is_private: Callable[[Path, str], bool] = lambda folder, path: is_secret_path(path)
    make_hooks: MakeHooks | None = None
    box: BoxView | None = None  # what child processes run in; None: in nothing, and nobody asks
    accepts_no_box: bool = False  # commands are allowed as the mode says even where no box holds
    limits: Limits = field(default_factory=Limits)
    thinking: str | None = None
    extra_prompt: str = ""
    main_agent: AgentType = DEFAULT
    extra_roots: Sequence[Path] = ()  # folders besides the working folder
    find_agents: Callable[[Path], AgentTypes] | None = None  # the types of subagents in a folder
    budget: Budget = field(default_factory=Budget)  # of one run of a subagent
    offers: Callable[[str], bool] = lambda name: True  # whether the configuration allows a tool
    max_tasks: int = 4  # in the background of a session at once
    evidence: Evidence = "mark"  # what happens to claims that nothing shows
    mode_after_plan: ev.Mode = "default"  # of sessions that begin in plan mode, once a plan is approved
    rounds: int = 0  # every prompt is a goal with so many more rounds; -1: no limit
    make_attach: Callable[[Model, Path], Attach] | None = None
    notices: Sequence[str] = ()
    served: Callable[[], Awaitable[Sequence[Model]]] | None = None  # what the providers' servers list (GET /models)
    login: Callable[[Any], Awaitable[None]] | None = (
        None  # set-up of a provider, given the front end's `commands.Shell`
    )
    reconfigure: Callable[[Any], None] | None = None  # take the models of a changed configuration
    remember: Callable[[str, Any], None] | None = None  # keep a setting for later sessions; raises ConfigError
    find_skills: Callable[[Path], Library] | None = None  # those of a folder; asked once per folder
    make_snapshots: MakeSnapshots | None = None
    make_servers: MakeServers = lambda folder, more=(): None  # the MCP servers of sessions in a folder, or `more` alone
    trust: Callable[[Path], Trust] = lambda folder: EVERYTHING  # the trust in a folder
    export: Callable[[Sequence[ev.Event], Path], None] | None = None  # a session as a file, by the ending of its name
    _libraries: dict[Path, Library] = field(default_factory=dict)
    _servers: dict[Path, Servers | None] = field(default_factory=dict)
    _sessions: list[Session] = field(default_factory=list)

    def open(
        self,
        session_id: str | None = None,
        *,
        ask: Ask,
        cwd: Path | None = None,
        mode: ev.Mode = "default",
        model: str | None = None,
        around: Callable[[Workspace], Workspace] | None = None,
        servers: Servers | None = None,
    ) -> Session:
        """A new session, or the one with `session_id` (a unique beginning is enough), its history mended.

        `mode` other than default wins over the mode that the session had; of the stored modes only `plan` comes back,
        because a permission is given anew. `around` makes the workspace from the usual one, `servers` are there instead of those
        that sessions in the folder share. Raises SessionError (unknown id, open elsewhere) and NoModelError.
        """
        if self._sessions:
            self._libraries.clear()  # a later session finds what was written since
        if session_id is None:
            folder = (cwd or self.cwd).resolve()
            log = self._new_log(folder, model or self.default_model)
            return self._session(log, ask, folder, mode, self._model(log.events, model), around, servers)
        log, damaged = self.store.open(session_id)
        try:
            known = self._model(log.events, model)
            session = self._session(log, ask, self._folder(log, cwd), mode, known, around, servers)
            tell_what_changed(session, log, damaged, asked=bool(model), extra_roots=self.extra_roots)
        except BaseException:
            log.close()
            raise
        return session

    def latest(self, cwd: Path | None = None) -> str:
        """Id of the last session in a folder. Raises SessionError when there is none."""
        sessions = self.store.list((cwd or self.cwd).resolve())
        if not sessions:
            raise SessionError(f"there is no earlier session in {cwd or self.cwd}", "Start one with `kimi`.")
        return sessions[0].id

    def skills(self, folder: Path) -> Library:
        """The skills and custom commands of sessions in `folder`; what had to be left out joins the notices."""
        if folder not in self._libraries:
            found = self.find_skills(folder) if self.find_skills is not None else Library()
            self.notices = (*self.notices, *(text for text in found.broken if text not in self.notices))
            self._libraries[folder] = found
        return self._libraries[folder]

    def servers(self, folder: Path) -> Servers | None:
        """The MCP servers of sessions in `folder`: these share them, so that none is started twice. None: none is defined yet."""
        if self._servers.get(folder) is None:
            servers = self._servers[folder] = self.make_servers(folder)
            problems = servers.problems if servers is not None else ()
            self.notices = (*self.notices, *(text for text in problems if text not in self.notices))
        return self._servers[folder]

    def look_again(self, folder: Path) -> None:
        """Forget the skills of a folder: something has changed there."""
        self._libraries.pop(folder, None)

    async def served_models(self) -> Sequence[Model]:
        """Models that the configured providers serve and that have no entry in `models` yet."""
        known = {(model.provider, model.id) for model in self.models.values()}
        found = await self.served() if self.served is not None else ()
        return [model for model in found if (model.provider, model.id) not in known and model.name not in self.models]

    async def window(self, model: Model) -> int:
        """Context size of a model whose configuration does not tell it, as its server says; 0 when nobody knows."""
        found = await self.served() if self.served is not None else ()
        return next((m.context_size for m in found if (m.provider, m.id) == (model.provider, model.id)), 0)

    async def close(self, session: Session) -> None:
        """End one session and forget it: a program that serves others opens many."""
        self._sessions.remove(session)
        await session.aclose()
        await session.workspace.aclose()
        if session.servers is not None:
            session.servers.leave(session.id)

    async def aclose(self) -> None:
        for session in self._sessions:
            await session.aclose()
        for servers in self._servers.values():
            if servers is not None:
                await servers.aclose()
        if self.box is not None:
            await self.box.aclose()

    # ------------------------------------------------------------------------------------------------------------------

    def _new_log(self, folder: Path, model: str) -> SessionLog:
        session_id = self.store.new_id()
        log = self.store.create(session_id)
        extra = "\n\n".join(filter(None, (self.skills(folder).listing(), self.extra_prompt)))
        prompt = self._prompt(self.main_agent, folder, extra)
        log.append(
            ev.SessionStarted(
                session_id, clean(str(folder)), round(time.time(), 3), __version__, model, system_prompt=prompt
            )
        )
        return log

    def _prompt(self, kind: AgentType, folder: Path, skills: str) -> str:
        trust = self.trust(folder)
        text = main_prompt(kind, folder, self.home, skills=skills, extra_roots=self.extra_roots, trust=trust)
        return self.redactor.text(clean(text))

    def _folder(self, log: SessionLog, cwd: Path | None) -> Path:
        started = log.events[0]
        assert isinstance(started, ev.SessionStarted)
        recorded = Path(started.cwd)
        return (cwd or (recorded if recorded.is_dir() else self.cwd)).resolve()

    def _model(self, events: Sequence[ev.Event], wanted: str | None) -> Model:
        if wanted:
            if wanted not in self.models:
                known = ", ".join(self.models) or "none is configured"
                raise NoModelError(f"unknown model {wanted!r}", f"Known: {known}.")
            return self.models[wanted]
        name = next((name for name in reversed(model_names(events)) if name in self.models), self.default_model)
        return self.models.get(name, NO_MODEL)

    def _session(
        self,
        log: SessionLog,
        ask: Ask,
        folder: Path,
        mode: ev.Mode,
        model: Model,
        around: Callable[[Workspace], Workspace] | None = None,
        servers: Servers | None = None,
    ) -> Session:
        modes = [event.mode for event in log.events if isinstance(event, ev.ModeChanged)]
        plan_file = self.home.resolve() / "plans" / f"{log.path.stem}.md"
        first = "plan" if mode == "default" and modes[-1:] == ["plan"] else mode
        rules = self.make_rules(folder) if self.make_rules is not None else None
        if rules is not None:
            self.notices = (*self.notices, *(text for text in rules.problems if text not in self.notices))
        private = functools.partial(self.is_private, folder)
        box = None if self.accepts_no_box else self.box
        scratch = self.store.workroom(log.path.stem)
        tools, local = self.make_tools(model, folder), self.make_workspace(folder, scratch)
        workspace = around(local) if around is not None else local
        own = [scratch, plan_file, *(map(Path, box.opened) if box is not None else ())]

        def is_inside(path: str) -> bool:
            return box is None or workspace.contains(Path(path)) or any(Path(path).is_relative_to(each) for each in own)

        permissions = Permissions(
            first, str(plan_file), str(self.home.resolve()), rules, private, box=box, is_inside=is_inside
        )
        session = Session(
            SessionParts(
                log=log,
                scratch=scratch,
                workspace=workspace,
                box=self.box,
                tools=self._allowed(tools),
                session_tools=lambda session: self._session_tools(session, tools),
                gates=self.gates,
                permissions=permissions,
                ask=ask,
                redactor=self.redactor,
                models=Models(lambda name: self.make_provider(name), self.window),  # a login replaces it meanwhile
                model=model,
                thinking=self.thinking,
                limits=self.limits,
                skills=self.skills(folder),
                agent_types=self.agent_types(folder),
                commands=self.commands,
                make_hooks=self.make_hooks,
                attach=self.make_attach(model, folder) if self.make_attach is not None else None,
                plan_file=plan_file,
                max_tasks=self.max_tasks,
                evidence=self.evidence,
                rounds=self.rounds,
                fork_log=lambda events: self._fork(events, ask, folder, permissions.mode),
                make_snapshots=partial(make, log.path.stem, local) if (make := self.make_snapshots) else None,
                private=str(self.home.resolve()),
            )
        )
        if session.mode != (modes[-1] if modes else "default"):  # what a replay shows is what holds
            session.set_mode(session.mode)
        if session.mode == "plan":
            session.mode_before_plan = self.mode_after_plan
        self._sessions.append(session)
        session.late = late_of(self, session)
        take_servers(session, servers or self.servers(folder))
        return session

    def _session_tools(self, session: Session, others: Sequence[Tool]) -> Sequence[Tool]:
        """The tools that act on their session, in a fixed order. `others` are those that know of no session."""
        tools: list[Tool] = [SkillTool(lambda: session.skills)] if session.skills.for_model() else []
        tools += [EnterPlanMode(session), ExitPlanMode(session)]
        types = session.agent_types
        self._tell_unknown_names(types, [tool.name for tool in (*others, *tools)])
        if types:
            tools.append(AgentTool(Subagents(session, self._subagent_parts(session)), types))
        return self._allowed([tool for tool in tools if self.offers(tool.name)])

    def _subagent_parts(self, session: Session) -> SubagentParts:
        def tools(model: Model) -> Sequence[Tool]:
            has_skills = session.skills.for_model() and self.offers(SkillTool.name)
            skill = [SkillTool(lambda: session.skills)] if has_skills else []
            return [*self.make_tools(model, session.cwd), *skill]

        def prompt(kind: AgentType) -> str:
            return self._prompt(kind, session.cwd, session.skills.listing() if allows(kind, SkillTool.name) else "")

        return SubagentParts(lambda: self.models, tools, prompt, self.budget)

    def agent_types(self, folder: Path) -> AgentTypes:
        """The types of subagents of sessions in `folder`; what had to be left out joins the notices."""
        found = self.find_agents(folder) if self.find_agents is not None else AgentTypes({})
        self.notices = (*self.notices, *(text for text in found.broken if text not in self.notices))
        return found.only(self.main_agent.subagents)

    def _tell_unknown_names(self, types: AgentTypes, tools: Sequence[str]) -> None:
        kinds = (self.main_agent, *types.values())
        told = [text for kind in kinds for text in unknown_names(kind, tools, self.models)]
        self.notices = tuple(dict.fromkeys((*self.notices, *told)))

    def _allowed(self, tools: Sequence[Tool]) -> Sequence[Tool]:
        return [tool for tool in tools if allows(self.main_agent, tool.name)]

    def _fork(self, events: Sequence[ev.Event], ask: Ask, folder: Path, mode: ev.Mode) -> Session:
        started = events[0]
        assert isinstance(started, ev.SessionStarted)
        log = self.store.create(self.store.new_id())
        copy = ev.SessionStarted(
            log.path.stem,
            started.cwd,
            round(time.time(), 3),
            __version__,
            started.model,
            started.id,
            started.system_prompt,
        )
        log.append(copy)
        for event in events[1:]:
            log.append(event)
        with contextlib.suppress(OSError):  # whole outputs that the history points to, and the shell's folder
            of_commands = shutil.ignore_patterns(REPORTS)  # what commands have left is theirs, links included
            shutil.copytree(self.store.scratch(started.id), self.store.scratch(log.path.stem), ignore=of_commands)
        if self.make_snapshots is not None:
            with contextlib.suppress(OSError):
                self.make_snapshots(started.id, self.make_workspace(folder, self.store.scratch(log.path.stem))).fork(
                    log.path.stem
                )
        return self._session(log, ask, folder, mode, self._model(events, None))
