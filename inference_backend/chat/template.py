"""The chat templates of the K2 family as a table: what differs between checkpoints, and which one a folder asks for.

A checkpoint's own Jinja template is never run: it is a program of a stranger. Its text is only searched for the few words that
tell the families apart.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inference_backend.chat.tokenizer_files import MAX_CONFIG_BYTES, read_file, read_json
from inference_backend.errors import RequestError

KIMI = "You are Kimi, an AI assistant created by Moonshot AI."


@dataclass(frozen=True, slots=True)
class Template:
    """One family's way to write a conversation."""

    name: str
    default_system: str
    """The system message where a conversation has none; may be empty."""
    thinking: Literal["never", "itself", "prefilled"]
    """Whether the model thinks: not at all, opening `<think>` itself, or behind a `<think>` that the prompt ends with."""
    can_rest: bool
    """Whether thinking can be switched off for a request."""
    preserves: Literal["never", "asked", "always"]
    """Whether reasoning before the last plain answer stays in the history."""
    typescript: bool
    """Tools as TypeScript, else as JSON."""
    sorts_tools: bool
    """Keys of the tools in alphabetical order."""


TEMPLATES = {
    template.name: template
    for template in (
        Template("k2-instruct", KIMI, "never", True, "never", False, False),
        Template("k2-thinking", KIMI, "itself", False, "never", False, True),
        Template("k2.5", KIMI, "prefilled", True, "never", True, True),
        Template("k2.6", KIMI, "prefilled", True, "asked", True, True),
        Template("k2.7-code", "", "prefilled", False, "always", True, True),
    )
}


def choose_template(folder: Path, name: str | None = None) -> Template:
    """The template called `name`, or the one that the files of the checkpoint in `folder` ask for.

    Raises RequestError for an unknown name and CheckpointError for files that cannot be read.
    """
    if name is not None:
        if name not in TEMPLATES:
            raise RequestError(f"there is no chat template {name[:40]!r}; there are {', '.join(TEMPLATES)}")
        return TEMPLATES[name]
    config = read_json(folder / "tokenizer_config.json")
    text = _template_text(folder, config.get("chat_template"))
    if text:
        return TEMPLATES[_by_text(text)]
    model = read_json(folder / "config.json").get("model_type") if (folder / "config.json").exists() else None
    if model == "kimi_k25":
        return TEMPLATES["k2.6"]  # writes the same as k2.5 until it is asked to preserve thinking
    added = config.get("added_tokens_decoder")
    names = (
        [entry.get("content") for entry in added.values() if isinstance(entry, dict)] if isinstance(added, dict) else []
    )
    return TEMPLATES["k2-thinking" if "<think>" in names else "k2-instruct"]


def _template_text(folder: Path, inline: object) -> str:
    path = folder / "chat_template.jinja"
    if path.exists():
        return read_file(path, MAX_CONFIG_BYTES).decode("utf-8", "replace")
    if isinstance(inline, list):  # several by name
        return "\n".join(str(one.get("template", "")) for one in inline if isinstance(one, dict))
    return inline if isinstance(inline, str) else ""


def _by_text(text: str) -> str:
    if "<think>" not in text:
        return "k2-instruct"
    if "tools_ts_str" not in text:
        return "k2-thinking"
    if "You are Kimi" not in text:
        return "k2.7-code"
    return "k2.6" if "preserve_thinking" in text else "k2.5"
