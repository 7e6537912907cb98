"""Secrets in addresses are refused before a file is written, in every notebook and in whichever parameter they stand."""

import pytest

from aa_utils.errors import InputError
from aa_utils.runner import parameters
from aa_utils.runner.addresses import secret_in

SECRET = "marmalade7Quixotic4"
WITH = [
    f"https://user:{SECRET}@api.example.com/v1", f"http://{SECRET}@localhost:8000/v1", f"HTTPS://user:{SECRET}@host", f"socks5://u:{SECRET}@proxy:1080",
    f"https://host/v1?api_key={SECRET}", f"https://host/v1?api-version=1&key={SECRET}", f"https://host/v1?a=b;apikey={SECRET}",
    f"https://host/v1?access_token={SECRET}", f"https://host/x?X-Amz-Signature={SECRET}", f"https://host/x?sv=1&sig={SECRET}",
    f"https://host/#token={SECRET}", f"https://host/v1?subscription-key={SECRET}", f"a model at https://a:{SECRET}@host/v1, say",
    f"postgresql://me:{SECRET}@host/database",
]  # fmt: skip
WITHOUT = [
    "https://api.openai.com/v1", "http://localhost:8000/v1", "http://[::1]:8000/v1", "ssh://git@github.com/a/b", "a@b.example", "models",
    "https://host/v1?api-version=2024-10-21", "https://host/search?q=monkey+wrench&page=2", "http://[broken", "a key: value", "", "https://host/?key=",
]  # fmt: skip


@pytest.mark.parametrize("text", WITH)
def test_a_secret_in_an_address_is_seen_and_not_repeated(text):
    assert secret_in(text) and SECRET not in secret_in(text)


@pytest.mark.parametrize("text", WITHOUT)
def test_addresses_and_texts_without_secrets_pass(text):
    assert secret_in(text) == ""


@pytest.mark.parametrize("value", [WITH[0], [WITH[4]], {"server": [WITH[1]]}])
def test_no_parameter_takes_one(value):
    known = [parameters.Parameter("anything", type(value)(), ""), parameters.Parameter("out", "", "")]
    with pytest.raises(InputError, match=r"'anything' holds .* in (an address|the query of an address), which every file") as caught:
        parameters.checked(known, {"anything": value, "out": "artifacts/x"}, "made.ipynb")
    assert SECRET not in str(caught.value)


def test_the_runner_stops_before_it_writes_a_file(make_notebook, runner, tmp_path):
    notebook = make_notebook('base_url = "https://api.example.com/v1"\nout = "artifacts/tests/run"')
    done = runner(notebook, "--set", f"base_url={WITH[0]}", AA_ARTIFACTS=str(tmp_path / "artifacts"))
    assert done.returncode == 2 and "'base_url' holds a user name or password" in done.stderr and SECRET not in done.stderr + done.stdout
    assert not (tmp_path / "artifacts").exists()
