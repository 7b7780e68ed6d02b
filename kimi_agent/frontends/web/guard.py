"""Who may talk to the server: this machine's browser, on a page of ours, that was once given the token."""

import hmac
import re
import secrets
from collections.abc import Mapping

_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)


class Guard:
    """`token` opens the door once, by the printed address; `_pass` is what the browser shows from then on."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self._pass = secrets.token_urlsafe(32)
        self._cookie = f"kimi_web_{secrets.token_hex(4)}"  # cookies know no ports: two servers must not share a name

    def host_is_ours(self, headers: Mapping[str, str]) -> bool:
        """Whether the browser believes that it talks to loopback: a strange name that leads here is an attack (rebinding)."""
        return bool(_HOST.fullmatch(headers.get("Host", "")))

    def origin_is_ours(self, headers: Mapping[str, str]) -> bool:
        """Whether a page of ours is asking. Browsers always send the origin of a websocket."""
        return headers.get("Origin", "").lower() == f"http://{headers.get('Host', '')}".lower()

    def knows_token(self, token: str) -> bool:
        return _same(token, self.token)

    def knows_pass(self, cookies: Mapping[str, str]) -> bool:
        return _same(cookies.get(self._cookie, ""), self._pass)

    def cookie(self) -> str:
        """The value of a Set-Cookie header. Scripts cannot read it, pages of others cannot have it sent."""
        return f"{self._cookie}={self._pass}; HttpOnly; SameSite=Strict; Path=/"


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
