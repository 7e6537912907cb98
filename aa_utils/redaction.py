"""No secret in anything that is written or printed: one mask for notebooks, records, metrics, logs and messages.

Three things are masked: values of environment variables that are named as secrets, in every spelling in which a file may hold them; tokens
by the shapes that their issuers give them; credentials in URLs.
"""

import base64
import html
import json
import os
import re
import sys
import unicodedata
from functools import cache, lru_cache
from typing import TextIO
from urllib.parse import quote, quote_plus

COMPUTES_NOTHING = "what must not be written"
MASK = "***"
# Names of environment variables, and of parameters, that hold secrets.
NAME = re.compile(
    r"(api_?key|secret|pass(word|wd|phrase)|credential|(access|private)_?key|connection_?string|(^|_)(key|token|pass|pat|auth|cookie)$"
    r"|_(pwd|dsn)$)",  # PWD alone is the folder that a shell is in
    re.IGNORECASE,
)
_START = r"(?<![A-Za-z0-9])"
_SHAPES = (
    r"sk-(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{8,}",  # OpenAI, Anthropic, OpenRouter; with a digit, or it is a word such as sk-learning
    r"sk-[A-Za-z0-9_-]{20,}",
    r"[sr]k_(live|test)_\w{10,}",  # Stripe
    r"(hf|npm|r8|gsk)_[A-Za-z0-9]{16,}",  # Hugging Face, npm, Replicate, Groq
    r"(gh[pousr]|github_pat|dckr_pat)_\w{16,}",
    r"(glpat|gl(?:ptt|dt|rt|cbt|agent|soat)|pypi|nvapi|xai|pplx|csk|tvly)-[\w-]{16,}",
    r"sk_[A-Fa-f0-9]{32,}",  # ElevenLabs
    r"(d[oi]p_v1|do[or]_v1|shp(?:at|ca|pa|ss)|lin_api|ntn|sbp|rubygems|lsv2_(?:pt|sk)|fw|jina|rpa|e2b|KGAT|dckr_oat|secret)_[A-Za-z0-9_]{24,}",
    r"(hv[bsr]|dp\.[a-z]{2})\.[\w-]{20,}",  # Vault, Doppler
    r"SG\.[\w-]{16,}\.[\w-]{16,}",  # SendGrid
    r"dapi[a-f0-9]{32}",  # Databricks
    r"(wandb_v1|tgp_v1|vc[acikpr]|figd)_[\w-]{20,}",  # Weights & Biases, Together, Vercel, Figma
    r"cf[a-z]{1,2}_\w{32,}",  # Cloudflare
    r"pat\w{14}\.[a-f0-9]{64}",  # Airtable
    r"SK[a-f0-9]{32}",  # Twilio
    r"key-[a-f0-9]{32}",  # Mailgun
    r"ms-[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}",  # ModelScope
    r"[MNO][\w-]{18,26}\.[\w-]{6}\.[\w-]{27,}",  # Discord
    r"(ATATT3|PMAK-|AGE-SECRET-KEY-1|ya29\.|GOCSPX-|sq0(?:atp|csp)-)[\w.=-]{20,}",
    r"\d{8,10}:AA[\w-]{30,}",  # Telegram
    r"hooks\.slack\.com/services/[A-Z0-9]+/[A-Z0-9]+/\w+",
    r"(AKIA|ASIA)[A-Z0-9]{12,}",  # AWS
    r"AIza[\w-]{30,}",  # Google
    r"xox[abeoprs]-[\w-]{10,}",  # Slack
    r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*",  # JSON web tokens
    r"(?:Bearer|Basic)\s+(?=[^\s\"']*\d)[A-Za-z0-9._~+/-]{16,}=*",
    r"(?:Bearer|Basic)\s+(?=[^\s\"']*[a-z][A-Z])[A-Za-z0-9._~+/-]{20,}=*",
)
TOKEN = re.compile(f"{_START}(?:{'|'.join(_SHAPES)})")
# A text without any of these holds no token: looking for them is a hundred times faster than looking for the shapes.
_BEGINNINGS = (
    *("k-", "k_", "hf_", "npm_", "r8_", "gh", "dckr_", "glpat-", "pypi-", "nvapi-", "xai-", "pplx-"),
    *("AKIA", "ASIA", "AIza", "xox", "eyJ", "Bearer", "Basic", "gl", "csk-", "tvly-", "_v1_", "shp", "lin_api_", "ntn_", "sbp_"),
    *("rubygems_", "lsv2_", "fw_", "jina_", "rpa_", "e2b_", "KGAT_", "secret_", "hvb.", "hvs.", "hvr.", "dp.", "SG.", "dapi", "ATATT3"),
    *("PMAK-", "AGE-", "ya29.", "GOCSPX-", "sq0", ":AA", "hooks.slack"),
    *("wandb_", "tgp_", "vc", "figd_", "cf", "pat", "SK", "key-", "ms-", "."),
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----.*?(-----END [A-Z ]*PRIVATE KEY( BLOCK)?-----|\Z)", re.DOTALL)
# user:password@ of any scheme; of the web also a token alone before the @.
_USER = re.compile(r"((?:https?)?://)(?:[^\s/?#@\"'<>]*:[^\s/?#@\"'<>]*|(?<=https://)[^\s/?#@\"'<>]+|(?<=http://)[^\s/?#@\"'<>]+)@")
_QUERY = re.compile(
    r"([?&;#](?:[\w.-]*[_.-])?(?:api[_-]?key|apikey|key|[a-z]*token|pass|password|passwd|pwd|secret|credential|sig|signature|auth)=)"
    r"[^&#\s\"'<>]+",
    re.IGNORECASE,
)
# Cookies, the lines of a .netrc file, and "key": with as many hex digits as keys have.
_LINES = re.compile(
    r"((?:set-)?cookie[\"']?\s*:\s*)(?=[^\n\"]*=[^\n\"]*\d)[^\n\"]+|(\blogin\s+\S+\s+password\s+)(?=\S*\d)\S+|([\"']key[\"']\s*:\s*[\"'])[a-f0-9]{32,40}(?=[\"'])",
    re.IGNORECASE,
)
# What stands behind a telling name, as headers, JSON and YAML have it: `x-api-key: …`, `"password": "…"`; with a digit, or it is a word.
_NAMED = re.compile(
    r"((?:(?:api|account|signing|subscription|shared[_-]?access|secret(?:[_-]?access)?)[_-]?key|(?:access|auth|refresh|session)[_-]?token|(?:client|app)[_-]?secret|password|passwd)[\"'\\]*\s*[:=]\s*[\"'\\]*)"
    r"(?=[^\s\"',;&{}\\]*\d)[^\s\"',;&{}()\\]{8,}",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """`text` with every secret in it replaced by `***`."""
    for spelling in _spelled(_secrets()):
        text = text.replace(spelling, MASK)
    if any(beginning in text for beginning in _BEGINNINGS):
        text = TOKEN.sub(MASK, text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(MASK, text)
    if ":" in text or "=" in text:
        text = _NAMED.sub(rf"\1{MASK}", text)
    if ":" in text or " password " in text:
        text = _LINES.sub(lambda found: f"{next(filter(None, found.groups()))}{MASK}", text)
    if "://" in text:
        text = _USER.sub(rf"\1{MASK}@", text)
    return _QUERY.sub(rf"\1{MASK}", text) if "=" in text else text


def redact_all(value: object) -> object:
    """`value`, as JSON has it, with every secret in its texts and keys replaced by `***`."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact_all(key): redact_all(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_all(item) for item in value]
    return value


def secret_in(text: str) -> str:
    """What secret `text` holds, in words without it: a value of the environment, or a token by its shape; "" for none."""
    for name in sorted(os.environ):
        if NAME.search(name) and any(spelling in text for spelling in _spelled((os.environ[name],))):
            return f"the value of the environment variable {name}"
    if TOKEN.search(text) or _PRIVATE_KEY.search(text):
        return "what looks like a key"
    return ""


class _Masked:
    """A text stream whose every write is masked."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(redact(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


def mask_output() -> None:
    """From now on whatever this process prints is masked: messages, tracebacks, complaints about a call. For commands."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Masked):
            setattr(sys, name, _Masked(stream))


def _secrets() -> tuple[str, ...]:
    return tuple(os.fsdecode(value) for name, value in os.environb.items() if _named(name))


@cache
def _named(name: bytes) -> bool:
    return NAME.search(os.fsdecode(name)) is not None


def _is_secret(value: str) -> bool:
    """False for what is too short to mean anything, and for words ("EMPTY", "not-needed"): masking those would spoil every text."""
    value = value.strip()
    words = re.fullmatch(r"([a-z]+|[A-Z][a-z]*|[A-Z]+)([-_. ]([a-z]+|[A-Z][a-z]*|[A-Z]+))*", value)
    if words:
        return len(value) >= 16
    return len(value) >= 8 or (len(value) >= 6 and re.search(r"\d", value) is not None and re.search(r"\D", value) is not None)


@lru_cache(maxsize=64)
def _spelled(values: tuple[str, ...]) -> list[str]:
    """The secrets among `values` as a file may spell them; longest first, so that no part of one stays."""
    spellings = {spelling for value in values if _is_secret(value) for spelling in _spellings(value)}
    return sorted(spellings, key=lambda text: (-len(text), text))


def _spellings(secret: str) -> set[str]:
    """A secret as it is, stripped, line by line, in the normal forms of Unicode; each escaped once and twice, and in base 64."""
    plain = {secret, secret.strip(), *(line.strip() for line in secret.splitlines() if len(line.strip()) >= 8)}
    plain |= {unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC") for text in plain}
    once = plain | {escaped for text in plain for escaped in _escaped(text)}
    twice = once | {escaped for text in once for escaped in _escaped(text)}
    thrice = twice | {json.dumps(text)[1:-1] for text in twice}
    cased = {changed for text in plain if any(map(str.isdigit, text)) for changed in (text.upper(), text.lower())}
    data = [text.encode(errors="surrogateescape") for text in plain]
    encoded = {kind(one).decode().rstrip("=") for one in data for kind in _BASE_64} | {one.hex() for one in data}
    encoded |= {one.hex().upper() for one in data} | {part for one in data if len(one) >= 12 for part in _within_base_64(one)}
    return {text for text in thrice | cased | encoded if text}


_HEX = re.compile("%[0-9A-F]{2}")
_BASE_64 = (base64.b64encode, base64.urlsafe_b64encode)


def _lower(found: re.Match[str]) -> str:
    return found.group().lower()


def _within_base_64(data: bytes) -> set[str]:
    """What `data` looks like in base 64 when other bytes stand before and behind it, as in `user:password`."""
    spelled = {kind(bytes(k) + data).decode()[-(-k * 8 // 6) : (k + len(data)) * 8 // 6] for k in range(3) for kind in _BASE_64}
    return {text for text in spelled if len(text) >= 12}


def _escaped(text: str) -> set[str]:
    """By JSON, Python and HTML, and for a URL."""
    data = text.encode(errors="surrogateescape")
    return {
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        ascii(text)[1:-1],
        repr(data)[2:-1],
        html.escape(text),
        html.escape(text, quote=False),
        *(changed for url in (quote(data), quote(data, safe=""), quote_plus(data)) for changed in (url, _HEX.sub(_lower, url))),
    }
