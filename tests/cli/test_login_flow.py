"""Setting up a provider, with a person double and a real server."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_api import FakeAPI

from kimi_agent.config import load_config
from kimi_agent.core.ask import Option
from kimi_agent.login import PRESETS, login

WRONG_KEY = [{"error": {"status": 401, "message": "Invalid Authentication", "type": "invalid_authentication_error"}}]
CUSTOM = next(n for n, preset in enumerate(PRESETS) if preset.name == "custom")


class Scripted:
    """A person who gives these answers in turn; None is "no answer". `shown` and `asked` is what they saw."""

    def __init__(self, *answers: int | str | None) -> None:
        self.answers = list(answers)
        self.shown: list[str] = []
        self.asked: list[str] = []
        self.secrets: list[str] = []

    def show(self, markdown: str) -> None:
        self.shown.append(markdown)

    async def choose(self, title: str, options: Sequence[Option]) -> int | None:
        self.asked.append(f"{title} {[option.label for option in options]}")
        answer = self.answers.pop(0)
        assert answer is None or isinstance(answer, int)
        return answer

    async def ask_text(self, label: str, *, secret: bool = False) -> str | None:
        (self.secrets if secret else self.asked).append(label)
        answer = self.answers.pop(0)
        assert answer is None or isinstance(answer, str)
        return answer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "config.toml"


async def test_a_local_server_is_found_and_offered_first(path: Path) -> None:
    models = [{"id": "qwen", "max_model_len": 32768}]
    async with FakeAPI([[{"text": "ok"}]], models=models) as api:
        person = Scripted(0)
        account = await login(person, path, {"vllm": api.port}, patience=30)
    assert account is not None
    assert "vllm on this machine" in person.asked[0]
    config = load_config(path, {})
    model = config.models[config.default_model]
    assert (model.model, model.max_context_size) == ("qwen", 32768)
    assert config.providers[model.provider].base_url == api.url
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_wrong_key_is_asked_for_again_and_never_saved(path: Path) -> None:
    models = [{"id": "a"}, {"id": "b", "context_length": 1000, "supports_image_in": True}]
    async with FakeAPI([WRONG_KEY, [{"text": "ok"}]], models=models) as api:
        person = Scripted(CUSTOM, api.url, "sk-wrong", 1, "sk-right", 1)
        account = await login(person, path, {})
        sent = [request.headers["authorization"] for request in api.requests]
    assert account is not None
    assert sent == ["Bearer sk-wrong", "Bearer sk-right"]
    assert len(person.secrets) == 2
    data = tomllib.loads(path.read_text())
    assert data["providers"]["custom"] == {"type": "openai_legacy", "base_url": api.url, "api_key": "sk-right"}
    assert data["models"]["b"]["max_context_size"] == 1000
    assert data["default_model"] == "b"
    assert not any("sk-" in text for text in (*person.shown, *person.asked))


async def test_a_server_without_a_list_of_models_takes_a_name(path: Path) -> None:
    async with FakeAPI([[{"text": "ok"}]], models=[]) as api:
        account = await login(Scripted(CUSTOM, api.url, "", "my-model"), path, {})
    assert account is not None
    assert account.model == "my-model"


@pytest.mark.parametrize("answers", [(None,), (CUSTOM, None), (CUSTOM, ""), (0, None), (0, "")])
async def test_giving_up_leaves_no_file(path: Path, answers: tuple[int | str | None, ...]) -> None:
    assert await login(Scripted(*answers), path, {}) is None
    assert not path.exists()


async def test_a_server_that_is_not_there_is_told_and_nothing_saved(path: Path) -> None:
    async with FakeAPI() as api:
        url = api.url
    person = Scripted(CUSTOM, url, "")
    assert await login(person, path, {}) is None
    assert "Nothing is saved" in person.shown[-1]
    assert not path.exists()


async def test_a_second_set_up_keeps_the_first(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(
        '# mine\ndefault_model = "x"\n[providers.p]\ntype = "kimi"\n[models.x]\nprovider = "p"\nmodel = "x"\n'
    )
    async with FakeAPI([[{"text": "ok"}]]) as api:
        await login(Scripted(CUSTOM, api.url, ""), path, {})
    assert path.read_text().startswith("# mine\n")
    assert set(load_config(path, {}).models) == {"x", "fake-model"}
