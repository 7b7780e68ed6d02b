"""A page of a stranger in a real Chromium, even with the token, cannot use the engine's server. Skipped where there is none."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from inference_http_house import TOKEN, House, serving
from web_site import Site

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

TRIES = """
async ([base, socket, token]) => {
  const headers = {"Authorization": `Bearer ${token}`, "Content-Type": "application/json"};
  const ways = {
    "json with the token": () => fetch(`${base}/echo`, {method: "POST", headers, body: "{}"}).then(r => r.text()),
    "get with the token": () => fetch(`${base}/get`, {headers}).then(r => r.text()),
    "text, not read": () => fetch(`${base}/echo`, {method: "POST", mode: "no-cors", body: "{}"}).then(r => r.text()),
    "the open path": () => fetch(`${base}/open`).then(r => r.text()),
    "the open path, not read": () => fetch(`${base}/open`, {mode: "no-cors"}).then(r => r.text()),
    "beacon": async () => { navigator.sendBeacon(`${base}/echo`, "{}"); return ""; },
    "events": () => new Promise((done, failed) => {
      const source = new EventSource(`${base}/open`); source.onmessage = e => done(e.data); source.onerror = failed; }),
    "web socket": () => new Promise((done, failed) => {
      const wire = new WebSocket(`${socket}/get`); wire.onopen = () => done("open"); wire.onerror = failed; }),
    "script": () => new Promise((done, failed) => {
      const tag = document.createElement("script"); tag.onload = () => done("ran"); tag.onerror = failed;
      tag.src = `${base}/open`; document.head.append(tag); }),
  };
  const got = {};
  for (const [name, way] of Object.entries(ways)) got[name] = await way().catch(() => "");
  return got;
}
"""


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
        yield browser
        browser.close()


def test_no_way_of_a_page_leads_in(house: House, browser: Any):
    port = house.address[1]
    with Site({"/": "<p>a page of a stranger</p>"}) as site:
        for origin in (f"http://evil.example:{site.port}", f"http://127.0.0.1:{site.port}"):
            page = browser.new_page()
            page.goto(origin)
            got = page.evaluate(TRIES, [f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", TOKEN])
            assert len(got) == 9
            assert not any(got.values()), got
            page.close()
    assert house.site.ran == []


def test_a_name_that_was_bound_to_this_machine_is_refused(house: House, browser: Any):
    """DNS rebinding: to the browser the server is of the stranger's own origin, to the server it is called by a strange name."""
    page = browser.new_page()
    answer = page.goto(f"http://evil.example:{house.address[1]}/open")
    assert answer.status == 421
    assert page.evaluate("fetch('/open').then(r => r.status)") == 421
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    told = page.evaluate(
        "headers => fetch('/echo', {method: 'POST', headers, body: '{}'}).then(r => r.status)", headers
    )
    assert told == 421
    assert house.site.ran == []
    page.close()
