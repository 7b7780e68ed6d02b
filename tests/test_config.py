"""What a config file, flags and environment variables come to."""

import json
from pathlib import Path

import pytest

from kimi_agent.config import Config, Overrides, home_dir, load_config
from kimi_agent.core.errors import ConfigError

OFFICIAL = """
default_model = "k2"
default_thinking = true
default_yolo = false
default_plan_mode = false
default_editor = "vim"
theme = "dark"
show_thinking_stream = true
merge_all_available_skills = true
extra_skill_dirs = ["~/skills"]
telemetry = false
skip_afk_prompt_injection = false
hooks = [{ event = "Stop", command = "true", matcher = "", timeout = 30 }]

[providers.moonshot]
type = "kimi"
base_url = "https://api.moonshot.cn/v1"
api_key = "sk-file"
env = { A = "b" }
custom_headers = { "X-Team" = "blue" }
reasoning_key = "reasoning"
oauth = { storage = "file", key = "oauth/kimi-code" }

[models.k2]
provider = "moonshot"
model = "kimi-k2-turbo-preview"
max_context_size = 262144
capabilities = ["thinking", "image_in"]
display_name = "K2"

[models."other one"]
provider = "moonshot"
model = "kimi-k2.6"

[loop_control]
max_steps_per_turn = 1000
max_retries_per_step = 3
max_ralph_iterations = 0
reserved_context_size = 50000
compaction_trigger_ratio = 0.85

[background]
max_running_tasks = 4

[notifications]
claim_stale_after_ms = 15000

[services.moonshot_search]
base_url = "https://api.kimi.com/coding/v1/search"
api_key = "sk"
custom_headers = {}

[mcp.client]
tool_call_timeout_ms = 60000
"""


def load(text: str, env: dict[str, str] | None = None, **flags: object) -> Config:
    return load_config(None, env or {}, Overrides(**flags), text=text)


def test_every_key_of_the_official_file_is_taken_without_a_word() -> None:
    config = load(OFFICIAL)
    assert config.warnings == ()
    assert config.default_model == "k2"
    assert config.providers["moonshot"].custom_headers == {"X-Team": "blue"}
    assert config.models["k2"].capabilities == {"thinking", "image_in"}
    assert config.loop_control.max_steps_per_turn == 1000
    assert config.hooks[0].event == "Stop"
    assert config.effort == "on"


def test_json_says_the_same_as_toml() -> None:
    data = {
        "providers": {"p": {"type": "kimi"}},
        "models": {"m": {"provider": "p", "model": "x"}},
        "default_model": "m",
    }
    toml = 'default_model = "m"\n[providers.p]\ntype = "kimi"\n[models.m]\nprovider = "p"\nmodel = "x"\n'
    assert load(json.dumps(data)) == load(toml)


def test_new_keys() -> None:
    config = load(
        OFFICIAL
        + '[tools]\ndisabled = ["Shell"]\n[network]\nallow_private = true\n[models.k2.prices]\ninput = 1\noutput = 2.5\n'
    )
    assert config.tools.disabled == ("Shell",)
    assert config.network.allow_private
    prices = config.models["k2"].prices
    assert prices is not None
    assert (prices.input, prices.output, prices.cached) == (1.0, 2.5, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('\ndefualt_model = "x"\n', 'c.toml:2: unknown key "defualt_model" (did you mean "default_model"?)'),
        (
            "[loop_control]\nmax_step_per_turn = 3",
            'c.toml:2: unknown key "loop_control.max_step_per_turn" (did you mean',
        ),
        ('[providers."a b"]\ntype = "kimi"\n\nurl = ""', 'c.toml:4: unknown key "providers."a b".url"'),
        ("hooks = [\n  { event = 'Stop', command = 'true', when = 1 },\n]", 'c.toml:1: unknown key "hooks.0.when"'),
        (
            '[[hooks]]\nevent="Stop"\ncommand="b"\n[[hooks]]\nevent="Stop"\ncommand="b"\nx=1',
            'c.toml:7: unknown key "hooks.1.x"',
        ),
        ('default_editor = """\n[tools]\nfoo = 1\n"""\nfoo = 2', 'c.toml:5: unknown key "foo"'),
        (
            '[providers.p]\ntype="kimi"\n[models.m]\nprovider="p"\nmodel="m"\ncapabilities = ["telepathy", "thinking"]',
            'c.toml:6: model "m" has unknown capabilities: "telepathy". Known: thinking, always_thinking, image_in, video_in',
        ),
        (
            '[[permission.rules]]\ndecision = "deny"\npattern = "Bash(rm *)"\ndeny = 1',
            'c.toml:4: unknown key "permission.rules.0.deny"',
        ),
        ("network.allow_privat = true", 'c.toml:1: unknown key "network.allow_privat" (did you mean "allow_private"?)'),
    ],
)
def test_an_unknown_key_is_a_warning_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    (warning,) = load_config(file, {}).warnings
    assert expected in warning


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = \n", ":1: not valid TOML"),
        ('theme = "dark"\na = [1,\n', ":3: not valid TOML"),
        ('{"a":\n ]', ":2: not valid JSON"),
        (
            '[loop_control]\nmax_steps_per_turn = "many"',
            ':2: "loop_control.max_steps_per_turn": expected a whole number',
        ),
        ("[loop_control]\n\ncompaction_trigger_ratio = 1.5", ':3: "loop_control.compaction_trigger_ratio": expected'),
        ('theme = "pink"', ':1: "theme": expected dark, light, auto, terminal, high-contrast-dark or'),
        (
            "x = 1\r\n[loop_control]\r\n\r\nmax_steps_per_turn = 0\r\n",
            ':4: "loop_control.max_steps_per_turn": expected',
        ),
        ('{\n"theme":\n3}', ':2: "theme": expected dark, light, auto, terminal, high-contrast-dark or'),
        ('{"models": {\n"a:{": {},\n "m": {"provider": "p"}}}', ':3: "models.m" needs a key "model"'),
        (
            '{"hooks": [{"event": "e", "command": "c"},\n{"event": "e",\n "command": "c\\"[", "timeout": 0}],\n"theme": "auto"}',
            ':3: "hooks.1.timeout": expected',
        ),
        ("providers = 3", ':1: "providers": expected a table, got a whole number'),
        ('[models.m]\nprovider = "p"', ':1: "models.m" needs a key "model"'),
        ('[models.m]\nmodel = "x"\nprovider = "p"', ':3: model "m" names provider "p", which is not defined'),
        ('default_model = "gone"', ':1: default_model "gone" is not one of [models]'),
    ],
)
def test_a_bad_value_is_an_error_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert f"config.toml{expected}" in str(caught.value)
    assert file.read_bytes() == text.encode()


def test_all_bad_values_are_told_at_once_and_no_secret_is(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('theme = 3\n[providers.p]\ntype = "kimi"\napi_key = 991199\ncustom_headers = { A = 881188 }\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert len(str(caught.value).splitlines()) == 3
    assert "991199" not in str(caught.value)
    assert "881188" not in str(caught.value)


def test_no_secret_in_the_repr() -> None:
    assert "sk-file" not in repr(load(OFFICIAL))


@pytest.mark.parametrize("name", ["KIMI_API_KEY", "MOONSHOT_API_KEY"])
def test_a_key_alone_makes_a_working_kimi_model(name: str) -> None:
    config = load_config(Path("/nowhere/config.toml"), {name: "sk-1"})
    model = config.models[config.default_model]
    provider = config.providers[model.provider]
    assert (provider.type, provider.base_url, provider.api_key) == ("kimi", "https://api.moonshot.ai/v1", "sk-1")
    assert model.max_context_size == 262_144
    assert "thinking" in (model.capabilities or ())


def test_openai_variables_alone_make_a_working_model() -> None:
    env = {"OPENAI_API_KEY": "sk-2", "OPENAI_BASE_URL": "http://localhost:1/v1"}
    config = load_config(None, env, Overrides(model="qwen"))
    model = config.models[config.default_model]
    provider = config.providers[model.provider]
    assert (model.model, provider.type, provider.base_url, provider.api_key) == (
        "qwen",
        "openai_legacy",
        "http://localhost:1/v1",
        "sk-2",
    )


def test_nothing_at_all_leaves_no_model() -> None:
    assert load_config(None, {"OPENAI_API_KEY": "sk"}).default_model == ""


def test_environment_wins_over_the_file_for_kimi_providers() -> None:
    env = {
        "KIMI_BASE_URL": "http://localhost:2/v1",
        "KIMI_API_KEY": "sk-env",
        "KIMI_MODEL_NAME": "other",
        "KIMI_MODEL_MAX_CONTEXT_SIZE": "1000",
        "KIMI_MODEL_CAPABILITIES": "thinking, image_in",
        "KIMI_MODEL_TEMPERATURE": "0.5",
        "KIMI_MODEL_TOP_P": "0.9",
        "KIMI_MODEL_MAX_TOKENS": "77",
        "KIMI_MODEL_THINKING_KEEP": "all",
        "OPENAI_API_KEY": "not this",
    }
    config = load(OFFICIAL, env)
    provider, model = config.providers["moonshot"], config.models["k2"]
    assert (provider.base_url, provider.api_key) == ("http://localhost:2/v1", "sk-env")
    assert (model.model, model.max_context_size) == ("other", 1000)
    assert model.capabilities == {"thinking", "image_in"}
    assert model.sampling == {"temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 77}
    assert config.thinking.keep == "all"
    assert config.models["other one"].model == "kimi-k2.6"


@pytest.mark.parametrize("value", ["big", "-5", "1e5", "1.5"])
def test_a_variable_that_is_no_number_is_named(value: str) -> None:
    with pytest.raises(ConfigError, match=f"KIMI_MODEL_MAX_CONTEXT_SIZE must be a whole number .*, not '{value}'"):
        load(OFFICIAL, {"KIMI_MODEL_MAX_CONTEXT_SIZE": value})


@pytest.mark.parametrize("value", ["nan", "inf", "-0.1", "warm"])
def test_a_temperature_that_is_none_is_named(value: str) -> None:
    with pytest.raises(ConfigError, match=f"KIMI_MODEL_TEMPERATURE must be a number .*, not '{value}'"):
        load(OFFICIAL, {"KIMI_MODEL_TEMPERATURE": value})


FOREIGN = """
[providers.p]
type = "openai_legacy"
base_url = "https://openrouter.example/v1"
{key}
[models.m]
provider = "p"
model = "x"
"""


def test_an_exported_openai_key_does_not_go_to_a_host_that_has_its_own() -> None:
    env = {"OPENAI_API_KEY": "sk-openai"}
    assert load(FOREIGN.format(key='api_key = "sk-own"'), env).providers["p"].api_key == "sk-own"
    assert load(FOREIGN.format(key=""), env).providers["p"].api_key == "sk-openai"
    both = {**env, "OPENAI_BASE_URL": "http://localhost:3/v1"}
    assert load(FOREIGN.format(key='api_key = "sk-own"'), both).providers["p"].api_key == "sk-openai"


def test_flags_win_over_the_file() -> None:
    config = load(OFFICIAL, model="other one", thinking=False, max_steps_per_turn=7, max_retries_per_step=0)
    assert config.default_model == "other one"
    assert config.effort == "off"
    assert (config.loop_control.max_steps_per_turn, config.loop_control.max_retries_per_step) == (7, 0)


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match='unknown model "nope"') as caught:
        load(OFFICIAL, model="nope")
    assert caught.value.hint == "Known models: k2, other one."


def test_a_single_model_needs_no_default() -> None:
    assert load(FOREIGN.format(key="")).default_model == "m"


def test_provider_flag_makes_a_model_for_this_run() -> None:
    config = load(OFFICIAL, provider="openai_legacy", base_url="http://localhost:4/v1", model="tiny")
    model = config.models[config.default_model]
    provider = config.providers[model.provider]
    assert (model.model, provider.type, provider.base_url) == ("tiny", "openai_legacy", "http://localhost:4/v1")


def test_provider_flag_takes_a_name_of_the_file() -> None:
    config = load(OFFICIAL, provider="moonshot", model="kimi-next")
    model = config.models[config.default_model]
    assert (model.model, config.providers[model.provider].api_key) == ("kimi-next", "sk-file")


def test_scripted_names_its_file() -> None:
    config = load(OFFICIAL, provider="scripted:/tmp/x.json")
    provider = config.providers[config.models[config.default_model].provider]
    assert (provider.type, provider.base_url, config.chaos) == ("scripted", "/tmp/x.json", None)


def test_chaos_is_a_seed_for_the_configured_provider_or_another() -> None:
    config = load(OFFICIAL, provider="chaos:7")
    assert (config.chaos, config.default_model) == (7, "k2")
    config = load("", provider="chaos:8:scripted:/tmp/x.json")
    provider = config.providers[config.models[config.default_model].provider]
    assert (config.chaos, provider.type, provider.base_url) == (8, "scripted", "/tmp/x.json")
    with pytest.raises(ConfigError, match="needs a number"):
        load("", provider="chaos:x")


def test_home(tmp_path: Path) -> None:
    assert home_dir({"KIMI_HOME": str(tmp_path), "KIMI_SHARE_DIR": "/x"}) == tmp_path
    assert home_dir({"KIMI_SHARE_DIR": str(tmp_path)}) == tmp_path
    assert home_dir({}) == Path.home() / ".kimi"


def test_a_matcher_that_is_no_regular_expression_is_an_error_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        '[[hooks]]\nevent = "Stop"\ncommand = "a"\n[[hooks]]\nevent = "Stop"\ncommand = "b"\nmatcher = "("\n'
    )
    with pytest.raises(ConfigError, match=r'c\.toml:7: "hooks\.1\.matcher": not a regular expression'):
        load_config(file, {})


def test_a_hook_for_an_event_that_never_comes_is_told(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[[hooks]]\ncommand = "a"\nevent = "PreToolUsed"\nstrict = true\n')
    config = load_config(file, {})
    (warning,) = config.warnings
    assert 'c.toml:3: hook event "PreToolUsed" does not happen here' in warning
    assert config.hooks[0].strict


def test_notifications_are_kimi_clis_table_with_a_mode_of_ours() -> None:
    assert load("[notifications]\nclaim_stale_after_ms = 1").notifications.mode == "auto"
    assert load('[notifications]\nmode = "off"').notifications.mode == "off"
    with pytest.raises(ConfigError, match="auto, bell or off"):
        load('[notifications]\nmode = "loud"')
