"""Setting up a provider: which one, its key, a real request, and into the config file. The same for every front end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kimi_agent.config import Config
from kimi_agent.config.edit import save
from kimi_agent.config.file import short_path
from kimi_agent.core.ask import Option
from kimi_agent.core.errors import AuthError, ConfigError, KimiError, NoModelError
from kimi_agent.core.provider import Endpoint, Model

if TYPE_CHECKING:
    from kimi_agent.providers.models import Local

TRIES = 3
MANY = 30
"""A list longer than this is not offered to choose from: the person types the model's name."""


class Person(Protocol):
    """Whom we ask: a part of `commands.Shell`."""

    def show(self, markdown: str) -> None: ...
    async def choose(self, title: str, options: Sequence[Option]) -> int | None: ...
    async def ask_text(self, label: str, *, secret: bool = False) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Preset:
    """A provider that we know. `model` is offered first; an empty `base_url` is asked for."""

    name: str
    label: str
    kind: str
    base_url: str = ""
    model: str = ""
    needs_key: bool = True
    keys_at: str = ""


PRESETS = (
    Preset(
        "moonshot",
        "Kimi, Moonshot AI open platform (international)",
        "kimi",
        "https://api.moonshot.ai/v1",
        "kimi-k2.6",
        keys_at="https://platform.moonshot.ai/console/api-keys",
    ),
    Preset(
        "moonshot-cn",
        "Kimi, Moonshot AI open platform (China)",
        "kimi",
        "https://api.moonshot.cn/v1",
        "kimi-k2.6",
        keys_at="https://platform.moonshot.cn/console/api-keys",
    ),
    Preset(
        "kimi-code",
        "Kimi Code subscription (API key)",
        "kimi",
        "https://api.kimi.com/coding/v1",
        "kimi-for-coding",
        keys_at="https://www.kimi.com/code",
    ),
    Preset("openrouter", "OpenRouter", "openai_legacy", "https://openrouter.ai/api/v1", "moonshotai/kimi-k2.6"),
    Preset("ollama", "Ollama", "openai_legacy", "http://localhost:11434/v1", needs_key=False),
    Preset("custom", "Another OpenAI-compatible server", "openai_legacy", needs_key=False),
)


@dataclass(frozen=True, slots=True)
class Account:
    """What a set-up came to: the names under which it is saved, the file, and why another model than the usual."""

    provider: str
    model: str
    path: Path
    note: str = ""


def preset(name: str) -> Preset:
    """The preset called `name`. Raises ConfigError that lists them."""
    found = next((entry for entry in PRESETS if entry.name == name), None)
    if found is None:
        raise ConfigError(f'unknown provider "{name}"', f"Known: {', '.join(p.name for p in PRESETS)}.")
    return found


async def login(
    person: Person, path: Path, ports: Mapping[str, int] | None = None, patience: float = 0.2
) -> Account | None:
    """Lead `person` through the choice of a provider and save it in the config file at `path`; None when they gave up.

    Servers on this machine are looked for first, for `patience` seconds, on `ports` (by name; default: those usual for
    local servers).
    Raises ConfigError when the file cannot be changed.
    """
    from kimi_agent.providers.models import LOCAL_PORTS, discover

    ports = LOCAL_PORTS if ports is None else ports
    local = await discover(patience, ports) if ports else []
    options = [Option(f"{found.endpoint.name} on this machine", _described(found)) for found in local]
    options += [Option(entry.label) for entry in PRESETS]
    picked = await person.choose("Where does the model run?", options)
    if picked is None:
        return None
    if picked < len(local):
        server = local[picked].endpoint
        chosen = Preset(server.name, server.name, server.kind, server.base_url, needs_key=False)
        return await _model_and_save(person, path, chosen, "")
    chosen = PRESETS[picked - len(local)]
    if not chosen.base_url or chosen.name == "ollama":
        shown = f" (nothing for {chosen.base_url})" if chosen.base_url else ", such as http://localhost:8000/v1"
        url = await person.ask_text(f"Address of the API{shown}")
        if url is None or not (url or chosen.base_url):
            return None
        chosen = replace(chosen, base_url=url or chosen.base_url)
    return await _key_then_model(person, path, chosen)


async def _key_then_model(person: Person, path: Path, chosen: Preset) -> Account | None:
    if chosen.keys_at:
        person.show(f"Keys are made at {chosen.keys_at}")
    for _ in range(TRIES):
        key: str | None = ""
        if chosen.needs_key or chosen.name == "custom":
            key = await person.ask_text("API key" + ("" if chosen.needs_key else ", nothing if none"), secret=True)
        if key is None or (chosen.needs_key and not key):
            return None
        try:
            return await _model_and_save(person, path, chosen, key)
        except AuthError as error:
            person.show(f"{error}. Try again, or give nothing to stop.")
            chosen = replace(chosen, needs_key=True)
    return None


async def _model_and_save(person: Person, path: Path, chosen: Preset, key: str) -> Account | None:
    try:
        served = await _served(chosen, key)
        model = await _pick_model(person, chosen, served)
        if model is None:
            return None
        await _try_out(chosen, key, model)
    except (AuthError, ConfigError):
        raise
    except KimiError as error:
        person.show(f"{error}. Nothing is saved. {error.hint}".strip())
        return None
    account = save_account(path, chosen, key, model)
    person.show(f"{chosen.label} answers. Saved in {short_path(path)}; the model is {account.model}.")
    return account


async def _pick_model(person: Person, chosen: Preset, served: Sequence[Model]) -> Model | None:
    known = {model.id: model for model in served}
    if len(served) == 1:
        return served[0]
    if not served or len(served) > MANY:
        usual = chosen.model if not served or chosen.model in known else ""
        name = await person.ask_text("Model" + (f" (nothing for {usual})" if usual else ""))
        if name is None or not (name or usual):
            return None
        return known.get(name or usual) or Model(name or usual, name or usual, chosen.name)
    ordered = sorted(served, key=lambda model: model.id != chosen.model)
    options = [Option(model.id, f"{model.context_size} tokens" if model.context_size else "") for model in ordered]
    picked = await person.choose("Which model?", options)
    return None if picked is None else ordered[picked]


async def login_directly(path: Path, chosen: Preset, key: str, model_id: str) -> Account:
    """Set up without questions: the key is tried by a real request, then saved. Raises KimiError; then nothing is saved.

    Where the server lists several models, and not the usual one of `chosen`, the first is taken.
    """
    served = await _served(chosen, key)
    known = {model.id: model for model in served}
    listed = ", ".join(list(known)[:MANY])
    name, note = model_id or chosen.model, ""
    if not model_id and len(served) == 1:
        name = served[0].id
    elif not name:
        raise ConfigError("which model?", f"Choose one with --model: {listed or 'its name'}.")
    elif not model_id and served and name not in known:
        note = f"{name} is not served there: the first model was taken. Choose another with --model: {listed}."
        name = served[0].id
    model = known.get(name) or Model(name, name, chosen.name)
    await _try_out(chosen, key, model)
    return replace(save_account(path, chosen, key, model), note=note)


async def with_served_model(config: Config) -> Config:
    """`config` with the API's name for its default model, which was left open: the only model that the server has.

    Raises NoModelError when the server has none or several, ProviderError when it cannot be reached.
    """
    from kimi_agent.build import endpoint_of
    from kimi_agent.providers.models import list_models

    entry = config.models[config.default_model]
    served = await list_models(endpoint_of(config, entry))
    if len(served) != 1:
        names = ", ".join(model.id for model in served[:MANY]) or "none"
        raise NoModelError(f"{entry.provider} serves {len(served)} models: choose one with -m", f"It has: {names}.")
    only = served[0]
    known = replace(entry, model=only.id, max_context_size=entry.max_context_size or only.context_size)
    models = {name: model for name, model in config.models.items() if name != config.default_model}
    return replace(config, models={**models, only.id: known}, default_model=only.id)


def save_account(path: Path, chosen: Preset, key: str, model: Model) -> Account:
    """Write provider, model and default into the config file, mode 0600. Raises ConfigError."""
    provider = ("providers", chosen.name)
    entry = ("models", model.id)
    changes: dict[tuple[str, ...], Any] = {
        ("default_model",): model.id,
        (*provider, "type"): chosen.kind,
        (*provider, "base_url"): chosen.base_url,
        (*provider, "api_key"): key,
        (*entry, "provider"): chosen.name,
        (*entry, "model"): model.id,
    }
    if model.context_size:
        changes[(*entry, "max_context_size")] = model.context_size
    if model.capabilities:
        changes[(*entry, "capabilities")] = sorted(model.capabilities)
    if model.prices:
        prices = {"input": model.prices.input, "output": model.prices.output, "cached": model.prices.cached}
        changes[(*entry, "prices")] = {name: price for name, price in prices.items() if price is not None}
    save(path, changes)
    return Account(chosen.name, model.id, path)


def _endpoint(chosen: Preset, key: str) -> Endpoint:
    return Endpoint(chosen.name, chosen.kind, chosen.base_url, key)


async def _served(chosen: Preset, key: str) -> Sequence[Model]:
    """What the server says it has; nothing when it does not say. Raises AuthError for a wrong key, ConnectionFailed."""
    from kimi_agent.core.errors import BadRequestError
    from kimi_agent.providers.models import list_models

    try:
        return list(await list_models(_endpoint(chosen, key)))
    except BadRequestError:  # 404: no such route
        return []


async def _try_out(chosen: Preset, key: str, model: Model) -> None:
    from kimi_agent.providers.models import check

    await check(_endpoint(chosen, key), model)


def _described(found: "Local") -> str:
    names = ", ".join(model.id for model in found.models[:3])
    return f"{found.endpoint.base_url}: {names}{', ...' if len(found.models) > 3 else ''}"
