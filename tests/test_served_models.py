"""GET /models feeds the picker and the size of the context window."""

import asyncio
from pathlib import Path

from fake_api import FakeAPI
from machine import allow, of, play
from test_commands import RecordingShell

from kimi_agent.build import build
from kimi_agent.commands import execute
from kimi_agent.config import load_config
from kimi_agent.core import event as ev

SERVED = [{"id": "fake-model", "context_length": 65_536}, {"id": "other", "context_length": 131_072}]


def house(tmp_path: Path, url: str):
    text = f"""
        default_model = "m"
        [providers.p]
        type = "openai_legacy"
        base_url = "{url}"
        [providers.gone]
        type = "openai_legacy"
        base_url = "http://127.0.0.1:9/v1"
        [models.m]
        provider = "p"
        model = "fake-model"
    """
    config = load_config(None, {}, text=text)
    return build(config, cwd=tmp_path, home=tmp_path / "home")


async def test_an_unknown_window_is_asked_from_the_server(tmp_path: Path):
    with FakeAPI(lambda body: [{"text": "hi"}, {"tokens": {"input": 9, "output": 1}}], models=SERVED) as api:
        agent = house(tmp_path, api.url)
        session = agent.open(ask=allow)
        await play(session, "one")
        await session.runner._window_search  # the question runs beside the first turn
        events = await play(session, "two")
        await agent.aclose()
    assert of(events, ev.Usage)[-1].context_size == 65_536
    assert [r.path for r in api.all_requests].count("/v1/models") == 1
    assert session.runner._compactor.size == 65_536


async def test_the_picker_offers_what_the_servers_list(tmp_path: Path):
    with FakeAPI(lambda body: [{"text": body["model"]}], models=SERVED) as api:
        agent = house(tmp_path, api.url)

        class House:
            def open(self):
                return agent.open(ask=allow)

        House.agent = agent
        shell, seen = RecordingShell(House()), []

        async def look_through(listing):
            while len(listing.rows()) < 2:
                seen[:] = [listing.head()]
                await asyncio.sleep(0.01)
            seen.append(listing.head())
            assert [(row.label, row.group, row.mark) for row in listing.rows()] == [
                ("m", "Configured", "now"), ("other", "Served by the providers", ""),
            ]  # fmt: skip
            return "other"

        shell.browsing = look_through
        await execute(shell, "/model")
        assert seen == ["now m; asking the providers what they serve", "now m"]
        await play(shell.session, "who are you?")
        assert api.requests[-1].json["model"] == "other"
        await execute(shell, "/model m")
        await play(shell.session, "and now?")
        assert api.requests[-1].json["model"] == "fake-model"
        await agent.aclose()
