"""Which way a server is reached: addresses without secrets, proxies of the environment, and none for this very machine."""

import pytest
from scripted_server import Reply, captions, serve

from aa_utils import prompts
from aa_utils.errors import InputError
from aa_utils.web_service import address

KEY = "marker-KEY-0123456789-never-seen"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def ask(tmp_path):
    """ask(url) -> rows of writer llm for one class."""

    def call(url):
        options = {"prompts_per_call": 4, "llm_model": "scripted", "cache": str(tmp_path / "cache"), "timeout": 2, "retries": 0}
        return prompts.write(["mug"], "llm", 4, 0, base_url=url, **options)

    return call


@pytest.mark.parametrize(
    "value", ["socks5://127.0.0.1:9", "socks5h://user:secretword@127.0.0.1:9", "socks4://127.0.0.1:9", "http://127.0.0.1:9", "nonsense://x"]
)
@pytest.mark.parametrize("variable", ["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"])
def test_this_very_machine_is_reached_without_any_proxy(ask, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with serve(captions) as at:
        assert len(ask(at.url.replace("127.0.0.1", "localhost"))) == 4


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ALL_PROXY", "socks5://user:secretword@proxy:1080", "ALL_PROXY names a SOCKS proxy for .* pip install socksio; or let"),
        ("HTTPS_PROXY", "socks5h://proxy:1080", "HTTPS_PROXY names a SOCKS proxy"),
        ("https_proxy", "socks4://proxy", "https_proxy .* of the kind 'socks4'"),
        ("all_proxy", "nonsense://secretword", "all_proxy names a proxy of the kind 'nonsense'; there are http, https, socks5 and socks5h"),
    ],
)  # fmt: skip
def test_a_proxy_that_cannot_be_used_is_one_sentence(ask, monkeypatch, variable, value, said):
    monkeypatch.setattr(address, "find_spec", lambda name: None)
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=said) as caught:
        ask("https://api.example.com/v1")
    assert "NO_PROXY=api.example.com" in str(caught.value) and "secretword" not in str(caught.value)
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert address.proxy("https://api.example.com/v1") is None


def test_a_proxy_of_the_environment_is_used(ask, monkeypatch):
    """An HTTP proxy is a server that gets the whole address: the scripted one will do."""
    with serve(captions) as at:
        monkeypatch.setenv("HTTP_PROXY", at.url.removesuffix("/v1").removeprefix("http://"))
        assert len(ask("http://api.example.com/v1")) == 4
    assert {request["path"] for request in at.asked} == {"http://api.example.com/v1/chat/completions"}


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]", "::1", "0.0.0.0", "gpu.localhost", "LOCALHOST", "localhost."]
)
def test_names_of_this_machine(host):
    assert address.is_here(host)


@pytest.mark.parametrize("host", ["api.openai.com", "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com", "xlocalhost", "::2"])
def test_names_of_other_machines(host):
    assert not address.is_here(host)


@pytest.mark.parametrize(
    "base_url",
    ["", "localhost:8000/v1", "ftp://host/v1", "http://", "http://[broken/v1", "http://host:99999/v1", "http://host:port/v1", "http://a b",
     "https://host/v1?version=1", "https://host/v1#x", "file:///etc/passwd", "https://host/v1\n"],
)  # fmt: skip
def test_what_is_no_address_is_one_sentence(base_url):
    with pytest.raises(InputError, match=r"base_url is '.*'; it is an address such as https://api.openai.com/v1"):
        address.check(base_url)


@pytest.mark.parametrize(
    "base_url",
    [f"http://u:{KEY}@host/v1", f"http://{KEY}@host", f"https://host/v1?api_key={KEY}", f"ftp://u:{KEY}@host", f"http://u:{KEY}@["],
)
def test_a_secret_in_the_address_is_refused_and_not_repeated(base_url):
    with pytest.raises(InputError, match="base_url holds a password or a key") as caught:
        address.check(base_url)
    assert KEY not in str(caught.value)


def test_a_redirect_to_another_host_takes_no_key_along(ask):
    with serve(captions) as there:
        moved = there.url.replace("127.0.0.1", "localhost")
        with serve(lambda body, number: Reply(b"", 307, {"Location": f"{moved}/chat/completions"})) as here:
            ask(here.url)
    assert here.asked[0]["headers"]["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in there.asked[0]["headers"]
