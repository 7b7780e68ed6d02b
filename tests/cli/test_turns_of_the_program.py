"""Whole runs of `kimi`, against a scenario or a real server."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeAPI
from kimi_program import Program
from web_site import Page, Site

HELLO = [{"text": "Hello"}]


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


def user_text(api: FakeAPI, number: int = 0) -> str:
    content = api.requests[number].json["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def test_the_answer_and_nothing_else_is_on_stdout(kimi: Program) -> None:
    with FakeAPI([HELLO], strict=True) as api:
        kimi.use(api.url)
        done = kimi.run("-p", "hi")
    assert (done.returncode, done.stdout) == (0, "Hello\n")
    assert user_text(api).startswith("hi")


def test_stdin_joins_the_prompt(kimi: Program) -> None:
    with FakeAPI([HELLO, HELLO, HELLO]) as api:
        kimi.use(api.url)
        kimi.run("-p", "explain", stdin="the log\n")
        kimi.run("--print", stdin="only this")
        kimi.run(stdin="no flag at all")
    assert "explain\n\nthe log" in user_text(api)
    assert "only this" in user_text(api, 1)
    assert "no flag at all" in user_text(api, 2)


def test_mentions_are_read_in_what_was_typed_and_not_in_what_was_piped(kimi: Program) -> None:
    (kimi.work / "typed.txt").write_text("of the typed file")
    (kimi.work / "piped.txt").write_text("of the piped file")
    with FakeAPI([HELLO, HELLO]) as api:
        kimi.use(api.url)
        kimi.run("-p", "see @typed.txt", stdin="+++ b/x\n@piped.txt\n")
        kimi.run("--print", stdin="see @piped.txt")
    sent = [json.dumps(request.json) for request in api.requests]
    assert "of the typed file" in sent[0]
    assert not any("of the piped file" in text for text in sent)


@pytest.mark.parametrize("text", ["/compact", "/nosuch", "/flow:relase now", "/skill:none", "/yolo on"])
def test_a_command_that_cannot_run_here_is_refused_before_it_costs_anything(kimi: Program, text: str) -> None:
    with FakeAPI([HELLO]) as api:
        kimi.use(api.url)
        done = kimi.run("-p", text)
    assert done.returncode == 2
    assert text.split()[0] in done.stderr
    assert api.requests == []


@pytest.mark.parametrize("text", ["/etc is what?", " /nosuch", "/tmp/x.log says what?"])
def test_a_path_is_a_prompt(kimi: Program, text: str) -> None:
    with FakeAPI([HELLO], strict=True) as api:
        kimi.use(api.url)
        assert kimi.run("-p", text).stdout == "Hello\n"


def test_what_is_not_attached_is_told_on_stderr(kimi: Program) -> None:
    (kimi.work / ".env").write_text("KEY=1")
    with FakeAPI([HELLO], strict=True) as api:
        kimi.use(api.url)
        assert "@.env is not attached" in kimi.run("-p", "look @.env").stderr


def test_environment_alone_is_enough(kimi: Program) -> None:
    with FakeAPI([HELLO], strict=True) as api:
        done = kimi.run("-p", "hi", KIMI_API_KEY="sk-env", KIMI_BASE_URL=api.url)
    assert done.stdout == "Hello\n"
    assert api.requests[0].headers["authorization"] == "Bearer sk-env"


def test_a_server_alone_is_enough_when_it_has_one_model(kimi: Program) -> None:
    with FakeAPI([HELLO], models=[{"id": "only"}]) as api:
        done = kimi.run("-p", "hi", "--base-url", api.url)
    assert done.stdout == "Hello\n"
    assert api.requests[0].json["model"] == "only"


def test_a_server_with_several_models_asks_which(kimi: Program) -> None:
    with FakeAPI([HELLO], models=[{"id": "a"}, {"id": "b"}]) as api:
        done = kimi.run("-p", "hi", "--base-url", api.url)
        assert done.returncode == 7
        assert "a, b" in done.stderr
        assert kimi.run("-p", "hi", "--base-url", api.url, "-m", "b").stdout == "Hello\n"


def test_flags_reach_the_request(kimi: Program) -> None:
    with FakeAPI([HELLO]) as api:
        kimi.use(api.url)
        kimi.run("-p", "hi", "--no-thinking", KIMI_MODEL_TEMPERATURE="0.25", KIMI_MODEL_MAX_TOKENS="99")
    body = api.requests[0].json
    assert (body["temperature"], body["max_completion_tokens"], body["thinking"]["type"]) == (0.25, 99, "disabled")


def test_a_session_goes_on(kimi: Program) -> None:
    with FakeAPI([[{"text": "one"}], [{"text": "two"}], [{"text": "three"}]]) as api:
        kimi.use(api.url)
        kimi.run("-p", "first")
        assert kimi.run("-p", "second", "-C").stdout == "two\n"
        (session,) = json.loads(kimi.run("sessions", "list", "--json").stdout)
        assert kimi.run("-p", "third", "-r", session["id"][:-2]).stdout == "three\n"
    texts = [message.get("content") for message in api.requests[2].json["messages"]]
    assert "one" in json.dumps(texts)
    assert "two" in json.dumps(texts)


def test_the_session_list_search_show_and_delete(kimi: Program) -> None:
    with FakeAPI([HELLO]) as api:
        kimi.use(api.url)
        kimi.run("-p", "tell me of whales")
    listed = kimi.run("sessions", "list")
    assert "tell me of whales" in listed.stdout
    session_id = listed.stdout.split()[0]
    assert session_id in kimi.run("sessions", "search", "WHALES").stdout
    assert kimi.run("sessions", "search", "sharks").returncode == 1
    assert kimi.run("sessions", "list", "-a").stdout.count(session_id) == 1
    assert kimi.run("-w", str(kimi.folder), "sessions", "list").stdout == ""
    assert kimi.run("sessions", "delete", session_id).returncode == 2
    assert kimi.run("sessions", "delete", "-y", session_id).returncode == 0
    assert kimi.run("sessions", "list").stdout == ""


@pytest.mark.parametrize(("name", "part"), [("a.md", "Hello"), ("a.html", "<html"), ("a.json", '"Hello"')])
def test_export(kimi: Program, name: str, part: str) -> None:
    with FakeAPI([HELLO]) as api:
        kimi.use(api.url)
        kimi.run("-p", "hi")
    assert kimi.run("export", "-o", name).returncode == 0
    file = kimi.work / name
    assert part in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("mine")
    assert kimi.run("sessions", "export", "-o", name).returncode == 2
    assert file.read_text() == "mine"
    assert kimi.run("sessions", "export", "-y", "-o", name).returncode == 0
    assert part in file.read_text()
    assert kimi.run("export", "-o", "a.pdf").returncode == 2


def test_json_output_and_schema(kimi: Program) -> None:
    schema = kimi.folder / "schema.json"
    schema.write_text('{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}')
    with FakeAPI([[{"text": '{"n": 3}'}]]) as api:
        kimi.use(api.url)
        done = kimi.run("-p", "count", "--output-format", "json", "--json-schema", str(schema))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["structured"] == {"n": 3}


def test_quiet_is_only_the_answer(kimi: Program) -> None:
    done = kimi.run("--quiet", "-p", "hi", "--provider", kimi.scenario(HELLO))
    assert (done.stdout, done.stderr) == ("Hello\n", "")


def test_warnings_of_the_file_are_told_and_the_run_goes_on(kimi: Program) -> None:
    kimi.write_config("defualt_model = 'x'\n")
    done = kimi.run("-p", "hi", "--provider", kimi.scenario(HELLO))
    assert done.stdout == "Hello\n"
    assert 'config.toml:1: unknown key "defualt_model" (did you mean "default_model"?)' in done.stderr


def test_a_refused_key_has_its_exit_code(kimi: Program) -> None:
    refusal = [{"error": {"status": 401, "message": "Invalid Authentication"}}]
    with FakeAPI([refusal]) as api:
        kimi.use(api.url)
        done = kimi.run("-p", "hi")
    assert (done.returncode, done.stdout) == (7, "")
    assert "Traceback" not in done.stderr


def test_modes(kimi: Program) -> None:
    write = [{"call": {"name": "WriteFile", "arguments": {"path": "new.txt", "content": "x"}}}]
    assert kimi.run("-p", "write", "--provider", kimi.scenario(write, HELLO)).returncode == 3
    assert not (kimi.work / "new.txt").exists()
    assert kimi.run("-p", "write", "--yolo", "--provider", kimi.scenario(write, HELLO)).returncode == 0
    assert (kimi.work / "new.txt").read_text() == "x"


def test_the_step_limit_has_its_exit_code(kimi: Program) -> None:
    step = {"call": {"name": "ReadFile", "arguments": {"path": "a"}}}
    scenario = kimi.scenario([step], [step], [step])
    done = kimi.run("-p", "go", "--max-steps-per-turn", "2", "--provider", scenario)
    assert done.returncode == 4


def test_the_log_of_debug_holds_no_key(kimi: Program) -> None:
    """Also where a search service wants its key in the URL."""
    found = {"results": [{"title": "T", "url": "https://x.example/"}]}
    call = {"call": {"name": "SearchWeb", "arguments": {"query": "x"}}}
    with Site({"/search": Page(found)}) as site, FakeAPI([[call], HELLO]) as api:
        kimi.use(api.url, key="sk-of-the-model")
        address = f"{site.url}/search?q={{query}}&key={{api_key}}"
        search = f'[services.search]\ntype = "http"\nbase_url = "{address}"\napi_key = "sk-of-the-search"\n'
        kimi.write_config(kimi.config.read_text() + search + 'results = "results"\n')
        done = kimi.run("-p", "go", "--yolo", "--debug")
        assert [asked.query["key"] for asked in site.asked] == ["sk-of-the-search"], done.stderr
    assert "sk-of" not in (kimi.home / "logs" / "kimi.log").read_text()
    assert "sk-of" not in done.stderr + done.stdout


def test_chaos_is_survived(kimi: Program) -> None:
    scenario = kimi.scenario({"repeat": 40, "steps": [HELLO]})
    done = kimi.run("-p", "hi", "--max-retries-per-step", "9", "--provider", f"chaos:3:{scenario}")
    assert (done.returncode, done.stdout) == (0, "Hello\n"), done.stderr


def test_a_prompt_that_is_no_utf8(kimi: Program) -> None:
    with FakeAPI([HELLO]) as api:
        kimi.use(api.url)
        done = kimi.run("-p", "caf\udce9")
    assert done.stdout == "Hello\n"
    assert "caf" in user_text(api)


def test_two_at_once_do_not_disturb_each_other(kimi: Program) -> None:
    import concurrent.futures

    with FakeAPI(lambda body: HELLO) as api:
        kimi.use(api.url)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            done = list(pool.map(lambda n: kimi.run("-p", f"prompt {n}"), range(3)))
    assert [run.stdout for run in done] == ["Hello\n"] * 3
    assert len(json.loads(kimi.run("sessions", "list", "--json").stdout)) == 3


def test_another_model_is_never_silent(kimi: Program) -> None:
    """Not even where nobody asked for progress."""
    down: dict[str, Any] = {"status": 503, "message": "down"}
    with FakeAPI([HELLO]) as api, FakeAPI(failures={"/v1/chat/completions": down}) as broken:
        kimi.write_config(
            f'''default_model = "m"\nfallback_models = ["n"]
[providers.p]\ntype = "kimi"\nbase_url = "{broken.url}"\napi_key = "k"
[providers.q]\ntype = "kimi"\nbase_url = "{api.url}"\napi_key = "k"
[models.m]\nprovider = "p"\nmodel = "m"\n[models.n]\nprovider = "q"\nmodel = "n"\n'''
        )
        done = kimi.run("-p", "hi", "--max-retries-per-step", "0", "--output-format", "json")
    assert (done.returncode, json.loads(done.stdout)["model"]) == (0, "n")
    assert done.stderr == "p failed: down. Trying again with n in 0.0 s (attempt 1).\n"


def test_defaults_of_kimi_cli_are_taken(kimi: Program) -> None:
    flags = ["--agent", "default", "--max-ralph-iterations", "0"]
    assert kimi.run("-p", "hi", *flags, "--provider", kimi.scenario(HELLO)).stdout == "Hello\n"


@pytest.mark.parametrize("form", ["text", "stream-json"])
def test_what_is_wrong_with_a_session_is_told_when_it_goes_on(kimi: Program, form: str) -> None:
    provider = kimi.scenario({"repeat": 2, "steps": [HELLO]})
    kimi.run("-p", "ALPHA", "--provider", provider)
    kimi.run("-C", "-p", "BRAVO", "--provider", provider)
    (log,) = (kimi.home / "sessions").glob("*.jsonl")
    log.write_text(log.read_text().replace('"BRAVO"', '"BRAV0"'))
    (kimi.work / "inner").mkdir()
    arguments = ["-w", "inner", "-r", log.stem, "-p", "next", "--output-format", form, "--provider", provider]
    done = kimi.run(*arguments)
    damaged = "1 damaged record of this session was left out."
    moved = f"This session began in {kimi.work}; it goes on in {kimi.work / 'inner'}."
    assert f"warning: {damaged}\nwarning: {moved}\n" in done.stderr
    if form == "stream-json":
        first, *rest = (json.loads(line) for line in done.stdout.splitlines())
        assert first["type"] == "session_started"
        assert [line["text"] for line in rest[:2]] == [damaged, moved]
        assert [line["type"] for line in rest[:3]] == ["notice", "notice", "turn_started"]


def test_what_plan_mode_refused_is_in_the_result(kimi: Program) -> None:
    write = [{"call": {"name": "WriteFile", "arguments": {"path": "new.txt", "content": "x"}}}]
    done = kimi.run("-p", "write", "--plan", "--output-format", "json", "--provider", kimi.scenario(write, HELLO))
    result = json.loads(done.stdout)
    assert [(denied["tool"], denied["targets"]) for denied in result["denied"]] == [("WriteFile", ["new.txt"])]
    assert (result["steps"], result["exit_code"]) == (2, 0)
