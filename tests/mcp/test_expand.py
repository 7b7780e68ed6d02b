"""`${VAR}` in definitions."""

from typing import Any

import pytest

from kimi_agent.core.errors import ConfigError
from kimi_agent.mcp.definition import OAuth, Scope, Server
from kimi_agent.mcp.expand import expand, unset_variables

ENV = {
    "A": "1",
    "EMPTY": "",
    "KIMI_API_KEY": "sk-own",
    "MOONSHOT_API_KEY": "sk-own",
    "KIMI_HOME": "/h",
    "HOME": "/home/ada",
}


def server(scope: Scope = "user", **fields: Any) -> Server:
    return Server("s", scope, "stdio", "mcp.json:3", **fields)


def test_everywhere() -> None:
    given = server(
        command="${A}/x", args=("${A}", "-${A}-${A}", "$A", "${}", "${1}"), cwd="${env:A}", env={"${A}": "${A}"},
        url="https://${NONE:-h}/${EMPTY:-e}", headers={"K": "v ${A}"},
    )  # fmt: skip
    found = expand(given, ENV)
    assert found.command == "1/x"
    assert found.args == ("1", "-1-1", "$A", "${}", "${1}")
    assert (found.cwd, found.env, found.url, found.headers) == ("1", {"${A}": "1"}, "https://h/e", {"K": "v 1"})
    assert given.command == "${A}/x"


def test_a_value_is_not_expanded_again() -> None:
    assert expand(server(command="${X}"), {"X": "${Y}"}).command == "${Y}"


def test_a_missing_variable_names_itself_and_the_server() -> None:
    given = server(args=("${A}", "${NONE}", "${EMPTY}", "${D:-}"), bearer_env="TOKEN")
    assert unset_variables(given, ENV) == ("NONE", "TOKEN")
    with pytest.raises(ConfigError, match=r'MCP server "s": the variable TOKEN is not set') as caught:
        expand(given, ENV)
    assert "mcp.json:3" in caught.value.hint
    with pytest.raises(ConfigError, match="the variable NONE is not set"):
        expand(given, ENV | {"TOKEN": "t"})
    assert expand(given, ENV | {"TOKEN": "t", "NONE": ""}).headers == {"Authorization": "Bearer t"}


def test_a_question_of_vs_code() -> None:
    with pytest.raises(ConfigError, match="VS Code"):
        expand(server(env={"K": "${input:key}"}), ENV)


@pytest.mark.parametrize(
    "fields",
    [
        {"args": ("${KIMI_API_KEY}",)},
        {"env": {"K": "${MOONSHOT_API_KEY:-x}"}},
        {"env": {"K": "${KIMI_API_KEY_2:-x}"}},
        {"bearer_env": "KIMI_API_KEY"},
        {"pass_env": ("KIMI_API_KEY",)},
        {"pass_env": ("KIMI_*",)},
        {"pass_env": ("*",)},
        {"oauth": OAuth(secret_env="MOONSHOT_API_KEY")},
    ],
)
@pytest.mark.parametrize("scope", ["project", "plugin"])
def test_our_keys_are_not_for_strangers(scope: Scope, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="kimi's own"):
        expand(server(scope, **fields), ENV)
    expand(server("user", **fields), ENV)


def test_other_variables_of_ours_are_no_secret() -> None:
    assert expand(server("project", args=("${KIMI_HOME}",)), ENV).args == ("/h",)


@pytest.mark.parametrize("url", ["http://[::1/?key=abc", "https://h:99999/?key=abc", "ftp://h/?key=abc", "${NONE:-}"])
def test_an_address_that_is_none_is_said_and_not_told(url: str) -> None:
    with pytest.raises(ConfigError, match="its url is no http address") as caught:
        expand(Server("s", "user", "http", "mcp.json:3", url=url), ENV)
    assert "abc" not in caught.value.full
    assert "mcp.json:3" in caught.value.full
