"""What differs between the servers that speak chat completions, by their host."""

from typing import NamedTuple

from kimi_agent.core.provider import Endpoint, Model
from kimi_agent.providers.transport import host_of

GOOGLE = "generativelanguage.googleapis.com"
# Hosts that refuse reasoning fields which they do not know: the one that each takes, empty for none.
REASONING_OF_HOST = {
    "api.openai.com": "",
    "api.mistral.ai": "",
    GOOGLE: "",
    "api.groq.com": "reasoning",
    "api.cerebras.ai": "reasoning",
}


class Dialect(NamedTuple):
    kimi: bool
    drafts: bool  # our own engine, which guesses ahead from texts in play
    openai: bool
    keep_ids: bool  # Kimi models want their own ids (`functions.Shell:0`) back, character for character
    number_ids: bool  # ... from servers that pass on what they get, numbered as the model itself does
    images: bool
    reasoning: str  # the one field for reasoning; empty: none
    any_reasoning: bool  # send reasoning in the field that it came in
    extras: bool  # send `extra_content` of calls back: Gemini signs its calls there and refuses them unsigned


def dialect_of(endpoint: Endpoint, model: Model) -> Dialect:
    host = host_of(endpoint.base_url)
    kimi = endpoint.kind in ("kimi", "kimi_engine")
    field = endpoint.reasoning_field or REASONING_OF_HOST.get(host, "")
    return Dialect(
        kimi=kimi,
        drafts=endpoint.kind == "kimi_engine",
        openai=host == "api.openai.com",
        keep_ids=kimi or "kimi" in model.id.lower(),
        number_ids=not kimi and "kimi" in model.id.lower(),
        images=not model.capabilities or "image_in" in model.capabilities,
        reasoning=field or ("reasoning_content" if kimi else ""),
        any_reasoning=not field and not kimi and host not in REASONING_OF_HOST,
        extras=not kimi and (host == GOOGLE or host not in REASONING_OF_HOST),
    )
