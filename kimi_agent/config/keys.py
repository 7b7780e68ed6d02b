"""The keys that a configuration holds, by the place where they stand."""

import re

from kimi_agent.config.data import Config

_HEADER = re.compile("auth|key|token|secret|cookie", re.IGNORECASE)
_SCHEME = re.compile(r"(?:bearer|basic|token)\s+", re.IGNORECASE)


def keys_of(config: Config) -> dict[str, str]:
    """Keys of providers and services, and of their headers as far as names tell."""
    found: dict[str, str] = {}
    for table, entries in (("providers", config.providers), ("services", config.services)):
        for name, entry in entries.items():
            found[f"{table}.{name}.api_key"] = entry.api_key
            for header, value in entry.custom_headers.items():
                if _HEADER.search(header):
                    found[f"{table}.{name}.custom_headers.{header}"] = _SCHEME.sub("", value.strip(), count=1)
    return {place: key for place, key in found.items() if key}
