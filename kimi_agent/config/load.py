"""Laying flags and environment variables over the file. Precedence as in kimi-cli: environment, then flag, then file."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from kimi_agent.config.data import Config, ModelConfig, Overrides, ProviderConfig
from kimi_agent.config.file import Problem, Source, fill, parse_source, read_source
from kimi_agent.config.rules import placed
from kimi_agent.config.safety import RuleConfig
from kimi_agent.config.services import what_is_missing, with_keys, wrong_services
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.hook import HOOK_EVENTS

T = TypeVar("T")

MOONSHOT_URL = "https://api.moonshot.ai/v1"
DEFAULT_KIMI_MODEL = "kimi-k2.6"
OUTPUT_LIMIT = {
    "kimi": "max_completion_tokens",
    "kimi_engine": "max_completion_tokens",
    "openai": "max_completion_tokens",
    "openai_responses": "max_output_tokens",
}
"""What a kind of API calls the limit of an answer, where that is not `max_tokens`."""
LOCAL = "local"  # what the engine of `--local` is called
EMBEDDED = "kimi-tiny"  # the model that comes with the program
EMBEDDED_OUTPUT = 1024
"""Tokens of one of its answers: a small model that has lost its way says the same again and again."""
OPENAI_KINDS = ("openai", "openai_legacy", "openai_responses")

CAPABILITIES = ("thinking", "always_thinking", "image_in", "video_in")


def home_dir(env: Mapping[str, str]) -> Path:
    """Where everything of ours is kept: `KIMI_HOME`, `KIMI_SHARE_DIR` (its old name), else `~/.kimi`. Raises ConfigError."""
    given = env.get("KIMI_HOME") or env.get("KIMI_SHARE_DIR")
    try:
        return Path(given).expanduser().absolute() if given else Path.home() / ".kimi"
    except (RuntimeError, OSError):  # no HOME and no entry in the user database; no current folder
        raise ConfigError("there is no home directory", "Set KIMI_HOME to a folder of your own.") from None


def load_config(
    path: Path | None, env: Mapping[str, str], overrides: Overrides | None = None, *, text: str | None = None
) -> Config:
    """The configuration of the file at `path` (none: defaults) or of `text`, with flags and environment laid over it.

    Raises ConfigError that names file and line; every problem that is not fatal is one line of `Config.warnings`.
    """
    source = parse_source(text, "--config") if text is not None else read_source(path) if path else Source("")
    config = read_config(source)
    config = _with_flags(config, overrides or Overrides(), env)
    if overrides is not None and overrides.embedded:
        config = _with_embedded_model(config, overrides.embedded)
    return _with_environment(config, env, overrides or Overrides())


def read_file(path: Path) -> Config:
    """The file alone, without flags and environment. Raises ConfigError."""
    return read_config(read_source(path))


def read_config(source: Source) -> Config:
    """The file alone. Raises ConfigError with one line per fatal problem."""
    problems: list[Problem] = []
    config = fill(Config, source.data, problems)
    problems += [*_dangling(config), *_wrong_hooks(config), *_unknown_capabilities(config), *wrong_services(config)]
    fatal = [source.describe(problem) for problem in problems if problem.fatal]
    if fatal:
        raise ConfigError("\n".join(fatal), "Fix that and start again; the file is left as it is.")
    rules = replace(config.permission, rules=placed(config.permission.rules, source))
    return replace(config, permission=rules, warnings=tuple(source.describe(problem) for problem in problems))


def _dangling(config: Config) -> list[Problem]:
    """Names that point at nothing."""
    found = [
        Problem(("models", name, "provider"), f'model "{name}" names provider "{model.provider}", which is not defined')
        for name, model in config.models.items()
        if model.provider and model.provider not in config.providers
    ]
    if config.default_model and config.default_model not in config.models:
        found.append(Problem(("default_model",), f'default_model "{config.default_model}" is not one of [models]'))
    found += [
        Problem(("fallback_models",), f'fallback model "{name}" is not one of [models]')
        for name in config.fallback_models
        if name not in config.models
    ]
    return found


def _wrong_hooks(config: Config) -> list[Problem]:
    """Matchers that are no regular expressions, and events that never come: a guard that never runs must be told."""
    found = []
    for index, hook in enumerate(config.hooks):
        at = ("hooks", str(index))
        try:
            re.compile(hook.matcher)
        except re.error as error:
            found.append(Problem((*at, "matcher"), f'"hooks.{index}.matcher": not a regular expression: {error}'))
        if hook.event and hook.event not in HOOK_EVENTS:
            known = ", ".join(HOOK_EVENTS)
            text = f'hook event "{hook.event}" does not happen here, the hook never runs. Events: {known}'
            found.append(Problem((*at, "event"), text, fatal=False))
    return found


def _unknown_capabilities(config: Config) -> list[Problem]:
    """Words that nothing asks about. `tools`, which `kimi login` writes for models with nothing else, is taken quietly."""
    found = []
    for name, model in config.models.items():
        if unknown := sorted((model.capabilities or frozenset()) - {*CAPABILITIES, "tools"}):
            words = ", ".join(f'"{word}"' for word in unknown)
            text = f'model "{name}" has unknown capabilities: {words}. Known: {", ".join(CAPABILITIES)}'
            found.append(Problem(("models", name, "capabilities"), text, fatal=False))
    return found


def _with_flags(config: Config, flags: Overrides, env: Mapping[str, str]) -> Config:
    names = ("max_steps_per_turn", "max_retries_per_step", "max_ralph_iterations")
    limits = {name: getattr(flags, name) for name in names}
    given: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
    config = replace(config, loop_control=replace(config.loop_control, **given))
    allow = (RuleConfig("allow", pattern, where="--allow") for pattern in flags.allow)
    deny = (RuleConfig("deny", pattern, where="--deny") for pattern in flags.deny)
    config = replace(config, session_rules=(*deny, *allow))
    if flags.thinking is not None:
        config = replace(config, default_thinking=flags.thinking)
    if flags.local:
        return _with_local_engine(config, flags.local)
    if flags.provider or flags.base_url:
        return _with_provider_flag(config, flags, env)
    if not config.models:
        config = _from_environment(config, env, flags.model)
    if flags.model and flags.model not in config.models:
        known = ", ".join(config.models) or "none: run `kimi login`"
        raise ConfigError(f'unknown model "{flags.model}"', f"Known models: {known}.")
    name = flags.model or config.default_model or (next(iter(config.models)) if len(config.models) == 1 else "")
    return replace(config, default_model=name)


def _with_provider_flag(config: Config, flags: Overrides, env: Mapping[str, str]) -> Config:
    """`--provider` and `--base-url` make a provider and a model for this run; `-m` is then the API's name of the model."""
    name = flags.provider or "openai_legacy"
    kind, _, rest = name.partition(":")
    if kind == "chaos":
        return _with_chaos(config, flags, rest, env)
    if kind == "scripted":
        name, provider = kind, ProviderConfig(kind, rest)
    else:
        provider = config.providers.get(name, ProviderConfig(name))
    if flags.base_url:
        provider = replace(provider, base_url=flags.base_url)
    chosen = config.models.get(flags.model)
    if chosen is None or chosen.provider != name:
        own = next((model for model in config.models.values() if model.provider == name), None)
        chosen = replace(own or ModelConfig(), provider=name) if not flags.model else ModelConfig(name, flags.model)
    if kind == "scripted":
        chosen = replace(chosen, model=chosen.model or kind)
    key = flags.model or chosen.model or name
    models = {**config.models, key: chosen}
    return replace(config, providers={**config.providers, name: provider}, models=models, default_model=key)


def _with_local_engine(config: Config, local: tuple[str, str]) -> Config:
    """A provider and a model for the local engine, which serves one model and says how it is called."""
    providers = {**config.providers, LOCAL: ProviderConfig("kimi_engine", *local)}
    models = {**config.models, LOCAL: ModelConfig(LOCAL)}
    return replace(config, providers=providers, models=models, default_model=LOCAL)


def _with_embedded_model(config: Config, embedded: tuple[str, str]) -> Config:
    """The one that comes with the program stays behind every other."""
    providers = {**config.providers, "embedded": ProviderConfig("kimi_engine", *embedded)}
    model = ModelConfig(
        "embedded", EMBEDDED, capabilities=frozenset({"tools"}), sampling={"temperature": 0.0},
        max_output_size=EMBEDDED_OUTPUT, profile="compact",
    )  # fmt: skip
    models = {**config.models, EMBEDDED: model}
    return replace(config, providers=providers, models=models, default_model=config.default_model or EMBEDDED)


def _with_chaos(config: Config, flags: Overrides, rest: str, env: Mapping[str, str]) -> Config:
    """`chaos:SEED` makes the configured providers unreliable, `chaos:SEED:NAME` the one that `--provider NAME` means."""
    seed, _, inner = rest.partition(":")
    if not seed.isdecimal():
        raise ConfigError(
            f'--provider "chaos:{rest}" needs a number as its seed', "Such as chaos:7 or chaos:7:scripted:FILE."
        )
    return replace(_with_flags(config, replace(flags, provider=inner), env), chaos=int(seed))


def _from_environment(config: Config, env: Mapping[str, str], model: str) -> Config:
    """A provider and a model out of environment variables alone, when the file has no models."""
    name = env.get("KIMI_MODEL_NAME") or model
    if env.get("KIMI_API_KEY") or env.get("MOONSHOT_API_KEY") or env.get("KIMI_BASE_URL"):
        provider = ProviderConfig("kimi", MOONSHOT_URL, env.get("MOONSHOT_API_KEY", ""))
        key, name = "kimi", name or DEFAULT_KIMI_MODEL
    elif env.get("OPENAI_BASE_URL"):
        provider, key, name = ProviderConfig("openai_legacy"), "openai", name or env.get("OPENAI_MODEL", "")
    else:
        return config
    models = {name or key: ModelConfig(key, name)}
    return replace(config, providers={**config.providers, key: provider}, models=models, default_model=name or key)


def _with_environment(config: Config, env: Mapping[str, str], flags: Overrides) -> Config:
    """The KIMI_* and OPENAI_* variables: keys and addresses of every provider of the kind, the rest for the chosen model.

    Search services get the key of theirs where the file has none.
    """
    providers = {name: _provider_environment(entry, env, flags) for name, entry in config.providers.items()}
    models = dict(config.models)
    chosen = models.get(config.default_model)
    if chosen and providers[chosen.provider].type == "kimi":
        models[config.default_model] = _model_environment(chosen, env)
    models = {name: _completed(entry, providers[entry.provider].type) for name, entry in models.items()}
    keep = env.get("KIMI_MODEL_THINKING_KEEP")
    thinking = replace(config.thinking, keep=keep) if keep else config.thinking
    embedded = env.get("KIMI_EMBEDDED_MODEL") or config.embedded_model
    services = with_keys(config.services, env)
    missing = what_is_missing(services)
    warnings = (*config.warnings, missing) if missing else config.warnings
    return replace(
        config, providers=providers, models=models, thinking=thinking, services=services, warnings=warnings,
        embedded_model=embedded,
    )  # fmt: skip


def _provider_environment(provider: ProviderConfig, env: Mapping[str, str], flags: Overrides) -> ProviderConfig:
    prefix = "KIMI" if provider.type == "kimi" else "OPENAI" if provider.type in OPENAI_KINDS else ""
    if not prefix:
        return provider
    url, key = env.get(f"{prefix}_BASE_URL", ""), env.get(f"{prefix}_API_KEY", "")
    own = bool(provider.api_key) and "api.openai.com" not in provider.base_url
    if prefix == "OPENAI" and own and not url:
        key = ""  # OpenAI's key, exported for other programs, must not go to another host that has a key of its own
    url = "" if flags.base_url and provider.base_url == flags.base_url else url
    return replace(provider, base_url=url or provider.base_url, api_key=key or provider.api_key)


def _model_environment(model: ModelConfig, env: Mapping[str, str]) -> ModelConfig:
    sampling = dict(model.sampling)
    for variable, name in (("KIMI_MODEL_TEMPERATURE", "temperature"), ("KIMI_MODEL_TOP_P", "top_p")):
        if (number := _number(env, variable, float)) is not None:
            sampling[name] = number
    output = _number(env, "KIMI_MODEL_MAX_COMPLETION_TOKENS", int) or _number(env, "KIMI_MODEL_MAX_TOKENS", int)
    model = replace(model, sampling=sampling, max_output_size=output or model.max_output_size)
    model = replace(model, model=env.get("KIMI_MODEL_NAME") or model.model)
    if size := _number(env, "KIMI_MODEL_MAX_CONTEXT_SIZE", int):
        model = replace(model, max_context_size=size)
    if words := env.get("KIMI_MODEL_CAPABILITIES"):
        model = replace(model, capabilities=frozenset(word.strip() for word in words.split(",") if word.strip()))
    return model


def _number(env: Mapping[str, str], variable: str, kind: type[T]) -> T | None:
    """The variable's value, None where it is unset or empty. Raises ConfigError for one that is no number, or negative."""
    text = env.get(variable, "").strip()
    try:
        if not text:
            return None
        value = kind(text)  # type: ignore[call-arg]
        if 0 <= float(value) < math.inf:  # type: ignore[arg-type]
            return value
    except ValueError:
        pass
    expected = "a whole number" if kind is int else "a number"
    raise ConfigError(f"{variable} must be {expected} that is not negative, not {text!r}")


def _completed(model: ModelConfig, kind: str) -> ModelConfig:
    """Fill in what is known of Kimi's models and left open in the file."""
    name = model.model.lower()
    newest = bool(re.match(r"(kimi-k2\.\d|kimi-k3|k3|kimi-for-coding)", name))
    size, capabilities = model.max_context_size, model.capabilities
    if not size and kind == "kimi":
        size = 1_048_576 if re.match(r"(kimi-)?k3", name) else 262_144 if name.startswith("kimi-") else 0
    if capabilities is None:
        known = {"thinking", "image_in", "video_in"} if newest and kind == "kimi" else set()
        always = {"thinking", "always_thinking"} if re.search("thinking|reason", name) else set()
        capabilities = frozenset(known | always)
    sampling = dict(model.sampling)
    if model.max_output_size:
        sampling[OUTPUT_LIMIT.get(kind, "max_tokens")] = model.max_output_size
    return replace(model, max_context_size=size, capabilities=capabilities, sampling=sampling)
