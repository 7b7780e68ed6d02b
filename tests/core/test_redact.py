"""Keys are found in every form that they usually take, and nothing else is changed."""

import base64
import json
from urllib.parse import quote, quote_plus

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.core.redact import Redactor, is_secret_name, secret_variables

KEY = 'sk-Ab/cd+ef "12"\\34=é'
MARK = "[redacted: KIMI_API_KEY]"


@given(before=st.text(max_size=9), after=st.text(max_size=9))
def test_every_form_is_found(before: str, after: str) -> None:
    redactor = Redactor({"KIMI_API_KEY": KEY})
    whole = f"{before}{KEY}{after}"
    forms = [whole, quote(whole, safe="", errors="replace"), quote_plus(whole), json.dumps(whole), whole.encode().hex()]
    for text in forms:
        assert MARK in redactor.text(text)
        assert redactor.finds(msgspec.json.encode({"a": [text]}))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert MARK in redactor.text(encode(whole.encode()).decode())


@given(st.text())
def test_other_text_stays_as_it_is(text: str) -> None:
    assert Redactor({"KIMI_API_KEY": KEY, "SHORT": "none"}).text(text) == text
    assert Redactor().text(text) == text


def test_data_is_redacted_all_through_and_a_key_may_hold_another() -> None:
    redactor = Redactor({"INNER": "sesame-open", "OUTER": "sesame-open-wide"})
    given_value = {"a sesame-open": ["sesame-open-wide", 1, None, True], "b": {"c": "fine"}}
    assert redactor.value(given_value) == {
        "a [redacted: INNER]": ["[redacted: OUTER]", 1, None, True],
        "b": {"c": "fine"},
    }


def test_names_tell_secrets_and_paths_are_none() -> None:
    env = {
        "GITHUB_TOKEN": "ghp_123456789",
        "GOOGLE_APPLICATION_CREDENTIALS": "/home/me/key.json",
        "SSH_AUTH_SOCK": "agent-socket",
        "KEYMAP": "dvorak-international",
    }
    assert secret_variables(env) == {"GITHUB_TOKEN": "ghp_123456789"}
    assert is_secret_name("npm_config__authToken")
    assert not is_secret_name("TOKENIZERS_PARALLELISM")
