"""What can be chosen of a session, as modes and as config options: both, and always the same."""

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kimi_acp.peer import RpcError
from kimi_acp.wire import INVALID_PARAMS
from kimi_agent.core import event as ev
from kimi_agent.core.errors import NoModelError
from kimi_agent.core.provider import Model
from kimi_agent.model_command import about

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session

MODES: Mapping[ev.Mode, tuple[str, str]] = {
    "default": ("Default", "Asks before it changes a file or runs a command that is not known to be harmless"),
    "plan": ("Plan", "Looks and plans, but changes nothing until a plan is approved"),
    "yolo": ("YOLO", "Asks nothing: whatever the box holds is allowed"),
    "afk": ("AFK", "Asks nothing, and decides its own questions"),
}
EFFORTS = {
    "default": "As the model does", "off": "Off", "on": "On", "low": "Low", "medium": "Medium", "high": "High", "max": "Max",
}  # fmt: skip


def modes_of(session: "Session") -> dict[str, Any]:
    modes = [{"id": mode, "name": name, "description": what} for mode, (name, what) in MODES.items()]
    return {"currentModeId": session.mode, "availableModes": modes}


def options_of(session: "Session", models: Mapping[str, Model]) -> list[dict[str, Any]]:
    """All of them, the most important one first."""
    known = {**models, session.model.name: session.model} if session.model.name else dict(models)
    found = []
    if known:
        options = [{"value": name, "name": name, "description": about(model)} for name, model in known.items()]
        found.append(_select("model", "Model", "model", session.model.name or next(iter(known)), options))
    efforts = [{"value": value, "name": name} for value, name in EFFORTS.items()]
    thinking = session.thinking or "default"
    if thinking not in EFFORTS:
        efforts.append({"value": thinking, "name": thinking})
    modes = [{"value": mode, "name": name, "description": what} for mode, (name, what) in MODES.items()]
    return [
        *found,
        _select("thinking", "Thinking", "thought_level", thinking, efforts),
        _select("mode", "Mode", "mode", session.mode, modes),
    ]


def _select(name: str, label: str, category: str, value: str, options: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": name, "name": label, "category": category, "type": "select", "currentValue": value, "options": options,
    }  # fmt: skip


def choose(session: "Session", option: str, value: Any) -> list[ev.Event]:
    """Set one; answers what has happened. Raises RpcError for what there is not, KimiError for what cannot be now."""
    if option == "mode" and value in MODES:
        return session.set_mode(value) if value != session.mode else []
    if option == "thinking" and isinstance(value, str) and (value in EFFORTS or value == session.thinking):
        session.thinking = None if value == "default" else value
        return []
    if option == "model" and isinstance(value, str):
        with contextlib.suppress(NoModelError):
            return session.set_model(value) if value != session.model.name else []
    known = option in ("mode", "thinking", "model")
    what = f"there is no {option} {value!r}" if known else f"there is no option {option!r}"
    raise RpcError(INVALID_PARAMS, f"Invalid params: {what}")
