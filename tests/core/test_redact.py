"""Keys are found in every form that they usually take, and nothing else is changed."""

import base64
import json
import re
from itertools import pairwise
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


KEYS = {"ONE": "sesame-open", "TWO": "sesame-open-wide", "THREE": "wide-1234sesame"}
SMALL = st.lists(
    st.sampled_from(["sesame-open", "-wide", "wide-1234sesame", "sesame", "-open", "s", "\n", "wide-"]), max_size=12
)


@given(texts=SMALL, cuts=st.lists(st.integers(0, 90)))
def test_no_cut_of_a_stream_lets_a_key_through(texts: list[str], cuts: list[int]) -> None:
    data = "".join(texts).encode()
    stream = Redactor(KEYS).stream()
    ends = [0, *sorted(cuts), len(data)]
    out = b"".join(stream.feed(data[start:end]) for start, end in pairwise(ends)) + stream.end()
    assert not any(key.encode() in out for key in KEYS.values())
    marks = re.sub(rb"\[redacted: \w+\]", b"|", out)
    assert set(re.split(rb"\|", marks)) <= {data[a:b] for a in range(len(data) + 1) for b in range(a, len(data) + 1)}
    if not any(key in data.decode() for key in KEYS.values()):
        assert out == data


def test_a_stream_holds_little_back_and_every_form_is_found_in_it() -> None:
    redactor = Redactor({"KIMI_API_KEY": KEY})
    whole = KEY.encode() + base64.b64encode(KEY.encode()) + KEY.encode().hex().encode()
    stream = redactor.stream()
    out = b"".join(stream.feed(bytes([each])) for each in whole + b"\n") + stream.end()
    assert out.count(MARK.encode()) == 3
    stream = redactor.stream()
    given_bytes = kept = 0
    for _ in range(300):
        given_bytes += 10_000
        kept += len(stream.feed(b"sk-A" * 2_500))
        assert given_bytes - kept < 4 * 200
    assert Redactor().stream().feed(b"as it is") == b"as it is"


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
