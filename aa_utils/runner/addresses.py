"""Secrets in addresses: `https://user:password@host`, `https://host/v1?api_key=…`. A parameter that holds one would stay in every file."""

import re
from urllib.parse import parse_qsl, urlsplit

_ADDRESS = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>`]+")
_SECRET = re.compile(
    r"key$|token$|secret|passw|pwd$|credential|(^|-)sig(nature)?$|^auth|jwt|bearer|session", re.IGNORECASE
)  # names of query fields; "key" alone is Google's


def secret_in(text: str) -> str:
    """What is secret in the addresses (URLs) that `text` holds, in words without the secret itself; "" if nothing is.

    A user name alone counts for http and https, where tokens stand in its place; `ssh://git@host` is no secret.
    """
    for address in _ADDRESS.findall(text):
        try:
            parts = urlsplit(address)
            user, password = parts.username, parts.password
        except ValueError:  # a bracket without its pair: no address
            continue
        if password or (user and parts.scheme.lower() in ("http", "https")):
            return "a user name or password in an address"
        for query in (parts.query, parts.fragment):
            for name, value in parse_qsl(query.replace(";", "&")):
                if value and _SECRET.search(name):
                    return f"'{name}' in the query of an address"
    return ""
