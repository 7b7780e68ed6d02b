"""`kimi login` and `kimi logout` as a script uses them, and `kimi doctor`."""

import json
import tomllib
from pathlib import Path

import pytest
from fake_api import FakeAPI
from kimi_program import Program

WRONG_KEY = [{"error": {"status": 401, "message": "Invalid Authentication", "type": "invalid_authentication_error"}}]


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_a_login_joins_inline_tables(kimi: Program) -> None:
    """As kimi-cli writes them."""
    kimi.write_config('# mine\ndefault_model = ""\nmodels = {}\nproviders = {q = {type = "kimi", api_key = "sk-q"}}\n')
    with FakeAPI([[{"text": "ok"}]], models=[{"id": "k2", "context_length": 5000}]) as api:
        done = kimi.run("login", "--base-url", api.url, stdin="sk-1\n")
    assert done.returncode == 0, done.stderr
    data = tomllib.loads(kimi.config.read_text())
    keys = {name: provider["api_key"] for name, provider in data["providers"].items()}
    assert (data["default_model"], keys) == ("k2", {"q": "sk-q", "custom": "sk-1"})
    assert kimi.config.read_text().startswith("# mine\n")


def test_the_key_comes_on_stdin_is_tried_and_saved(kimi: Program) -> None:
    with FakeAPI([[{"text": "ok"}]], models=[{"id": "k2", "context_length": 5000}]) as api:
        done = kimi.run("login", "--base-url", api.url, "--json", stdin="sk-1\n")
        assert api.requests[0].headers["authorization"] == "Bearer sk-1"
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["type"], told["provider"], told["model"]) == ("success", "custom", "k2")
    assert tomllib.loads(kimi.config.read_text())["providers"]["custom"]["api_key"] == "sk-1"
    assert kimi.config.stat().st_mode & 0o777 == 0o600
    assert "sk-1" not in done.stdout + done.stderr
    assert done.stderr.startswith("Another OpenAI-compatible server answers.")  # nobody is prompted


def test_a_wrong_key_is_not_saved(kimi: Program) -> None:
    with FakeAPI([WRONG_KEY]) as api:
        done = kimi.run("login", "--base-url", api.url, stdin="sk-wrong\n")
    assert done.returncode == 7
    assert not kimi.config.exists()
    assert "Traceback" not in done.stderr


def test_no_key_at_all(kimi: Program) -> None:
    done = kimi.run("login", "--provider", "moonshot")
    assert done.returncode == 2
    assert "no API key was given" in done.stderr


def test_an_unknown_provider_lists_the_known(kimi: Program) -> None:
    done = kimi.run("login", "--provider", "x", stdin="k\n")
    assert done.returncode == 2
    assert "moonshot-cn" in done.stderr


def test_several_models_and_none_named(kimi: Program) -> None:
    with FakeAPI([], models=[{"id": "a"}, {"id": "b"}]) as api:
        done = kimi.run("login", "--base-url", api.url, stdin="k\n")
    assert done.returncode == 2
    assert "a, b" in done.stderr


def test_logout_removes_the_key_everywhere(kimi: Program) -> None:
    with FakeAPI([[{"text": "ok"}], [{"text": "ok"}]]) as api:
        kimi.run("login", "--base-url", api.url, stdin="sk-1\n")
        kimi.run("login", "--base-url", api.url, stdin="sk-2\n")
    assert "sk-1" in kimi.config.with_name("config.toml.bak").read_text()
    done = kimi.run("logout", "--json")
    assert json.loads(done.stdout)["provider"] == "custom"
    left = "".join(file.read_text() for file in kimi.home.rglob("*") if file.is_file())
    assert "sk-1" not in left
    assert "sk-2" not in left


def test_doctor_tries_the_key(kimi: Program) -> None:
    with FakeAPI([[{"text": "ok"}], WRONG_KEY]) as api:
        kimi.use(api.url)
        kimi.config.chmod(0o600)
        good, bad = kimi.run("doctor"), kimi.run("doctor", "--json")
    assert good.returncode == 0, good.stdout
    assert "m (kimi at" in good.stdout
    findings = {finding["check"]: finding for finding in json.loads(bad.stdout)}
    assert findings["model"]["level"] == "error"
    assert findings["model"]["code"] == 7
    assert {finding["code"] for finding in findings.values() if finding["level"] != "error"} == {0}
    assert bad.returncode == 7


def test_doctor_offline_makes_no_request(kimi: Program) -> None:
    with FakeAPI([]) as api:
        kimi.use(api.url)
        assert kimi.run("doctor", "--offline").returncode == 0
        assert api.all_requests == []


def test_doctor_tells_every_fault_of_the_file(kimi: Program) -> None:
    kimi.write_config("theme = 3\nloop_control = 4\nfoo = 1\n")
    done = kimi.run("doctor", "--offline")
    assert done.returncode == 2
    assert "config.toml:1:" in done.stdout
    assert "config.toml:2:" in done.stdout


def test_doctor_warns_of_a_file_that_others_can_read(kimi: Program) -> None:
    kimi.use("http://127.0.0.1:1/v1")
    kimi.config.chmod(0o644)
    done = kimi.run("doctor", "--offline")
    assert f"chmod 600 {kimi.config}" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("served", "model", "told"),
    [
        (["a", "kimi-k2.6"], "kimi-k2.6", False),
        (["only"], "only", False),
        (["a", "b"], "a", True),
        ([], "kimi-k2.6", False),
    ],
)
def test_the_model_is_one_that_the_server_has(kimi: Program, served: list[str], model: str, told: bool) -> None:
    models = [{"id": name, "context_length": 5000} for name in served]
    with FakeAPI([[{"text": "ok"}]], models=models) as api:
        done = kimi.run("login", "--provider", "moonshot", "--base-url", api.url, stdin="sk-1\n")
        assert api.requests[0].json["model"] == model
    assert done.returncode == 0, done.stderr
    saved = tomllib.loads(kimi.config.read_text())
    assert saved["default_model"] == model
    assert saved["models"][model].get("max_context_size") == (5000 if served else None)
    assert ("kimi-k2.6 is not served there: the first model was taken" in done.stderr) == told
