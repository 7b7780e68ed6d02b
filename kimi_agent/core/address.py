"""Names and addresses of the net: which names are names, which addresses are public.

What is inside (this machine, its network, metadata services) is not public.
"""

import ipaddress
import re
from collections.abc import Sequence

# `is_global` of the interpreter at hand is asked as well, but older ones do not know all of these (CVE-2024-4032).
_INSIDE_V4 = [
    *map(ipaddress.IPv4Network, ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16")),
    *map(ipaddress.IPv4Network, ("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16")),
    *map(ipaddress.IPv4Network, ("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")),
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's metadata service, at a public address
]
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_DOCUMENTATION_V6 = [ipaddress.IPv6Network("2001:db8::/32"), ipaddress.IPv6Network("3fff::/20")]
_NAT64 = [ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48")]
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public net, also when it wraps an IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _wrapped(ip)
        if inner is None:
            return ip in _PUBLIC_V6 and ip.is_global and not any(ip in network for network in _DOCUMENTATION_V6)
        ip = inner
    return ip.is_global and not any(ip in network for network in _INSIDE_V4)


def _wrapped(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a packet to `ip` ends at: mapped, 6to4, Teredo, NAT64."""
    if any(ip in network for network in _NAT64):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


def host_name(text: str) -> str:
    """A name as rules and requests have it: lower case, no dot at the end. Raises ValueError for what is none, and for addresses.

    Every label is letters, digits and hyphens (LDH), so no name means two things to two programs.
    """
    name = text.strip().lower().removesuffix(".")
    labels = name.removeprefix("*.").split(".")
    if len(name) > 253 or len(labels) < 2 or not all(_LABEL.match(label) for label in labels):
        raise ValueError(f"{text!r:.100} is no host name")
    if re.fullmatch(r"(0x)?[0-9a-f]*", labels[-1]) and not re.search("[g-z]", labels[-1]) and labels[-1][:1].isdigit():
        raise ValueError(f"{text!r:.100} is an address, not a name")
    return name


def allows(granted: Sequence[str], name: str) -> bool:
    """Whether a name is granted. `*.example.com` grants every name below example.com, not itself."""
    labels = name.split(".")
    for rule in granted:
        wanted = rule.split(".")
        if labels == wanted or (
            wanted[0] == "*" and len(labels) >= len(wanted) and labels[1 - len(wanted) :] == wanted[1:]
        ):
            return True
    return False
