"""Where a server is: an address without secrets, and the proxy that the environment names for it; none for this very machine."""

import ipaddress
import os
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from aa_utils.errors import InputError
from aa_utils.runner.addresses import secret_in


def check(base_url: str) -> None:
    """Errors: InputError unless `base_url` is an http or https address without user, password and query."""
    like = "it is an address such as https://api.openai.com/v1 or http://localhost:8000/v1"
    if secret_in(base_url) or "@" in base_url.partition("://")[2].partition("/")[0]:
        raise InputError(
            "base_url holds a password or a key, which every file would keep; secrets come from the environment (key_variable)"
        )
    try:
        parts = urlsplit(base_url)
        right = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right or not base_url.isprintable() or any(ch in base_url for ch in " \\<>\"'"):
        raise InputError(f"base_url is {base_url!r}; {like}")
    if parts.query or parts.fragment:
        raise InputError(f"base_url is {base_url!r}; {like}, without ? and #")


def is_here(host: str) -> bool:
    """`host` is a name or number of this very machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(name)
    except ValueError:
        return False
    return number.is_loopback or number.is_unspecified


def is_inside(host: str) -> bool:
    """`host` is this machine, or a number of a private network."""
    try:
        return is_here(host) or not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return False


def proxy(base_url: str) -> str | None:
    """The proxy for `base_url` by the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, in small letters too), None for none.

    Errors: InputError, which names the variable and not its value, for a SOCKS proxy without the package for it, and for an unknown kind.
    """
    parts = urlsplit(base_url)
    if is_here(parts.hostname) or proxy_bypass(parts.netloc) or proxy_bypass(parts.hostname):
        return None
    named = getproxies()
    kind = next((kind for kind in (parts.scheme, "all") if named.get(kind)), None)
    if kind is None:
        return None
    found = named[kind] if "://" in named[kind] else f"http://{named[kind]}"
    scheme = found.partition("://")[0].lower()
    variable = next((name for name in os.environ if name.lower() == f"{kind}_proxy"), "the system's settings")
    way_out = f"; or let it be reached without a proxy: NO_PROXY={parts.hostname}"
    if scheme in ("socks5", "socks5h") and find_spec("socksio") is None:
        raise InputError(f"{variable} names a SOCKS proxy for {base_url}, which takes a package more: pip install socksio{way_out}")
    if scheme not in ("http", "https", "socks5", "socks5h"):
        raise InputError(f"{variable} names a proxy of the kind '{scheme}'; there are http, https, socks5 and socks5h{way_out}")
    return found
