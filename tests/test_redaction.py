"""One mask for everything that a run writes or prints: in whatever form a secret comes, none of them is in a file."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest

from aa_utils import progress
from aa_utils.errors import InputError
from aa_utils.redaction import redact, redact_all, secret_in
from aa_utils.runner import parameters, record

KEY = "grüße\"Ω'zwölf\\7"  # not ASCII, quotes of both kinds, a backslash
# What a cell does with the key: thirteen ways in which one gets into a run's files.
FORMS = {
    "printed": "print(key)",
    "repr": "print([key])",
    "json": "import json; print(json.dumps({'key': key}))",
    "json in json": "import json; print(json.dumps(json.dumps({'key': key}, ensure_ascii=False)))",
    "bytes": "print(key.encode())",
    "url": "from urllib.parse import quote; print('https://host/v1?key=' + quote(key))",
    "html": "import html; from IPython.display import HTML, display; display(HTML('<p>' + html.escape(key) + '</p>'))",
    "header": "import base64; print('Basic', base64.b64encode(key.encode()).decode())",
    "stderr": "import sys; print(key, file=sys.stderr)",
    "log": "from aa_utils import progress; progress.note('asked with ' + key)",
    "metrics": "from aa_utils.runner import record; record.write_metrics(out, [{'model': key}])",
    "data frame": "import pandas as pd; pd.DataFrame({'key': [key]})",
    "exception": "raise ValueError('refused: ' + key)",
    "our exception": "from aa_utils.errors import InputError; raise InputError('refused: ' + key)",
}


def spellings(secret: str) -> list[str]:
    """What no file may hold: the secret as it is, and in the escapes of JSON, Python, URLs and HTML headers."""
    plain = [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1], quote(secret)]
    return [*plain, base64.b64encode(secret.encode()).decode(), "grüße", "gr\\u00fc", "gr%C3%BC", "gr\\xc3"]


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_key_is_in_any_file_or_message_of_a_run(make_notebook, runner, tmp_path, form):
    out = tmp_path / "out"
    notebook = make_notebook(f'out = "{out}"  # folder', f'import os\nkey = os.environ["MY_API_KEY"]\n{FORMS[form]}')
    done = runner(notebook, MY_API_KEY=KEY)
    assert done.returncode == (1 if "exception" in form else 0), done.stderr
    written = {path.name: path.read_text(encoding="utf-8") for path in out.rglob("*") if path.is_file()}
    assert {"executed.ipynb"} <= set(written)
    for name, text in {**written, "stdout": done.stdout, "stderr": done.stderr}.items():
        assert [spelling for spelling in spellings(KEY) if spelling in text] == [], name
    assert "***" in "".join([*written.values(), done.stderr])
    nbformat.validate(nbformat.read(out / "executed.ipynb", as_version=4))


TOKENS = [
    *("sk-abcdefgh12345678", "sk-proj-Ab3dEf6hIj9kLm2n", "sk-ant-api03-abc_DEF-123", "hf_abcdefghijklmnopqrst", "AKIAIOSFODNN7EXAMPLE"),
    *("ghp_abcdefghijklmnopqrst0123456789", "github_pat_11AAAAAAA0abcdefghij", "glpat-abcdefghij0123456789", "xoxb-1234567890-abcdef"),
    *("SG.abcdefghij0123456789.abcdefghij0123456789", "dop_v1_0123456789abcdef0123456789abcdef", "dapi0123456789abcdef0123456789abcdef"),
    *(
        "hvs.CAESIJabcdefghij0123456789",
        "shpat_0123456789abcdef0123456789abcdef",
        "lin_api_abcdefghij0123456789abcd",
        "sq0atp-abcdefghij0123456789ab",
    ),
    *(
        "glrt-abcdefghij0123456789",
        "ya29.a0AfH6SMBabcdefghij0123456789",
        "GOCSPX-abcdefghij0123456789ab",
        "sk_0123456789abcdef0123456789abcdef",
    ),
    *(
        "123456789:AAabcdefghij0123456789abcdefghij0123",
        "lsv2_pt_0123456789abcdef0123456789abcdef_01",
        "PMAK-0123456789abcdef01234567-0123",
    ),
    *("wandb_v1_abcdefghij0123456789ABCDEFGHIJ", "tgp_v1_abcdefghij0123456789ABCDEF", "vcp_0123456789abcdefABCDEF01"),
    *("figd_0123456789-abcdefABCDEF_012345", "cfut_0123456789abcdefABCDEF0123456789abcdef", "SK0123456789abcdef0123456789abcdef"),
    *("patAbCdEfGhIjKlMn." + "0123456789abcdef" * 4, "key-0123456789abcdef0123456789abcdef"),
    *("ms-01234567-89ab-cdef-0123-456789abcdef", "MTAxMDEwMTAxMDEwMTAx.YAbCdE.abcdefghijklmnopqrstuvwxyz1"),
    *("AIzaSyA1234567890abcdefghijklmnopqrstuv", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123", "gsk_abcdefghij0123456789"),
]


@pytest.mark.parametrize("token", TOKENS)
def test_tokens_are_known_by_their_shape(token):
    for text in (token, f"key={token},", f"Authorization: Bearer {token}", json.dumps([token]), f"({token})"):
        assert token not in redact(text)
        assert "***" in redact(text)
    with pytest.raises(InputError, match="'method' looks like a secret") as caught:
        parameters.checked([parameters.Parameter("method", "", ""), parameters.Parameter("out", "x", "")], {"method": token}, "a.ipynb")
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://user:password1@host/v1", "https://***@host/v1"),
        ("http://justatoken99@host:8000", "http://***@host:8000"),
        ("postgresql://me:pw@host/db", "postgresql://***@host/db"),
        ("https://host/v1?api-version=1&api_key=abc&page=2", "https://host/v1?api-version=1&api_key=***&page=2"),
        ("https://host/?sv=1&sig=abc", "https://host/?sv=1&sig=***"),
        ("https://host/x?X-Amz-Signature=abc", "https://host/x?X-Amz-Signature=***"),
        ("https://host/#access_token=abc", "https://host/#access_token=***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nrest", "***\nrest"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZDEy", "Authorization: ***"),
        ("{'x-api-key': 'a1b2c3d4e5', 'n': 1}", "{'x-api-key': '***', 'n': 1}"),
        ('{"client_secret": "a1b2c3d4e5"}', '{"client_secret": "***"}'),
        (r'"{\"access_token\": \"a1b2c3d4e5\"}"', r'"{\"access_token\": \"***\"}"'),
        ("api_key=a1b2c3d4e5, model=x", "api_key=***, model=x"),
        ("password: hunter2hunter2\nuser: me", "password: ***\nuser: me"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY", "aws_secret_access_key = ***"),
        ("AccountName=x;AccountKey=abcd1234EFGH5678==;EndpointSuffix=y", "AccountName=x;AccountKey=***;EndpointSuffix=y"),
        ("Ocp-Apim-Subscription-Key: 0123456789abcdef", "Ocp-Apim-Subscription-Key: ***"),
        ("Authorization: Bearer abcdefGHIJKLmnopqrstuvwx", "Authorization: ***"),
        ("Cookie: session=abc123def; csrftoken=zz11\nHost: x", "Cookie: ***\nHost: x"),
        ("Set-Cookie: sessionid=abcdef0123; Path=/", "Set-Cookie: ***"),
        ("machine h login bob password s3cr3tpw9", "machine h login bob password ***"),
        ('{"username": "bob", "key": "0123456789abcdef0123456789abcdef"}', '{"username": "bob", "key": "***"}'),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc\n-----END PGP PRIVATE KEY BLOCK-----\nrest", "***\nrest"),
        ("https://hooks.slack.com/services/T0001/B0002/abcDEF123", "https://***"),
        ("key_variable=OPENAI_API_KEY, no api_key: see docs", "key_variable=OPENAI_API_KEY, no api_key: see docs"),
    ],
)
def test_credentials_in_addresses_headers_and_key_files_are_masked(text, masked):
    assert redact(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a risk-aware task",
            "sk-learning",
            "the token is masked",
            "key: value",
            "https://host/search?q=monkey&page=2",
            "ssh://git@github.com/a/b",
        ),
        *(
            "basic training of 10000000000000000 steps",
            "mail a@b.example",
            "source=artifacts/images&keys",
            "hf_hub",
            "sha256:0123456789abcdef" * 4,
        ),
        *(
            "Cookie: a round biscuit",
            "the key: 0123456789abcdef0123456789abcdef",
            "login and password are asked for",
            "secretary=janet1234",
        ),
        *("class_names=[key, token, pass]", "SKU 1234", "max_tokens=4096", "pat.", "key-value pairs of 32 entries"),
        *("Bearer of good news", "eyJust", "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg"),
    ],
)
def test_other_text_stays_as_it_is(text):
    assert redact(text) == text
    assert secret_in(text) == ""


WORDS = ["classifier", "EMPTY", "not-needed", "accuracy", "none", "ollama", "Notebook", "1234", "dummy_key", "", "training run"]


@pytest.mark.parametrize("word", WORDS)
def test_a_common_word_is_no_secret_whatever_its_variable_is_called(monkeypatch, word):
    monkeypatch.setenv("SOME_TOKEN", word)
    text = f"The {word} of this notebook: classifier, accuracy and training run, EMPTY, none, 1234."
    assert redact(text) == text


@pytest.mark.parametrize(
    "secret", ["a1b2c3", "hunter2000", "very-secret-value", "CorrectHorseBattery", "12345678", "pässwört", "two\nlines-of-it-77"]
)
def test_other_values_are_secrets(monkeypatch, secret):
    monkeypatch.setenv("DATABASE_PASSWORD", secret)
    assert redact(f"({secret})") == "(***)"
    assert redact_all({"a": [secret, {secret: 1}], "b": 2}) == {"a": ["***", {"***": 1}], "b": 2}
    monkeypatch.setenv("DATABASE_PASSWORD", "another-secret-value")
    assert redact(secret) == secret


SPELLED = {
    "JSON in JSON in JSON": lambda key: json.dumps(json.dumps(json.dumps({"k": key}))),
    "upper case": str.upper,
    "lower case": str.lower,
    "hexadecimal": lambda key: key.encode().hex(),
    "hexadecimal, upper case": lambda key: key.encode().hex().upper(),
    "a URL with small hex digits": lambda key: re.sub("%..", lambda found: found.group().lower(), quote(key, safe="")),
    "a URL in a URL": lambda key: quote(quote(key)),
    **{f"base 64 behind {k} bytes": lambda key, k=k: base64.b64encode(b"u" * k + key.encode() + b"@host").decode() for k in range(4)},
    "URL-safe base 64": lambda key: base64.urlsafe_b64encode(b"user:" + key.encode()).decode(),
}


@pytest.mark.parametrize("secret", [KEY, "hunter2000-and-more", "a/b+c~?77>>>xyz"])
@pytest.mark.parametrize("form", SPELLED)
def test_a_key_in_another_spelling_is_masked(monkeypatch, form, secret):
    monkeypatch.setenv("SERVICE_API_KEY", secret)
    spelled = SPELLED[form](secret)
    masked = redact(f"a {spelled} b")
    assert "***" in masked and masked.startswith("a ") and masked.endswith(" b")
    whole = "base 64" not in form and "JSON" not in form
    assert masked == "a *** b" if whole else len(masked) < len(spelled)


def test_a_parameter_that_is_a_secret_of_the_environment_is_refused(make_notebook, runner, tmp_path):
    notebook = make_notebook(f'method = "dann"  # method\noptions = {{}}  # of it\nout = "{tmp_path}/out"  # folder')
    for setting in (f"method={KEY}", f"method=before {KEY} after", f"options={json.dumps({'a': [KEY]}, ensure_ascii=False)}"):
        done = runner(notebook, "--set", setting, MY_API_KEY=KEY)
        assert done.returncode == 2
        assert "looks like a secret (it holds the value of the environment variable MY_API_KEY)" in done.stderr
        assert "grüße" not in done.stderr + done.stdout
    done = runner(notebook, "--api-key", KEY, MY_API_KEY=KEY)
    assert (done.returncode, "grüße" in done.stderr) == (2, False)
    assert not (tmp_path / "out").exists()


def test_warnings_logs_and_records_are_masked(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MY_API_KEY", KEY)
    monkeypatch.setenv("AA_PROGRESS", str(tmp_path / "progress.log"))
    progress.warn(f"the server refuses {KEY}")
    list(progress.progress([1], what=KEY))
    record.write_metrics(tmp_path, [{"a": KEY, "b": 1}])
    record.write(tmp_path, {"run_id": "x", "schema": record.SCHEMA, "parameters": {"url": f"https://me:{KEY}@host"}})
    assert "grüße" not in capsys.readouterr().err
    names = {path.name for path in tmp_path.iterdir()}
    assert {"progress.log", "metrics.json", "record.json"} <= names
    for path in tmp_path.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "gr" not in text and "***" in text, path.name
    assert record.read_metrics(tmp_path) == [{"a": "***", "b": 1}]


def test_a_picture_is_not_touched(make_notebook, runner, tmp_path):
    source = "from IPython.display import Image, display\nimport base64\ndisplay(Image(base64.b64decode(data)))"
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + os.urandom(3000)).decode()
    done = runner(make_notebook(f'out = "{tmp_path}/out"  # folder', f"data = {data!r}", source))
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(tmp_path / "out/executed.ipynb", as_version=4).cells
    assert cells[-1].outputs[0].data["image/png"].replace("\n", "") == data


def test_every_command_masks_what_it_prints():
    package = Path(record.__file__).parents[1]
    commands = [path for path in package.rglob("*.py") if '__name__ == "__main__"' in path.read_text(encoding="utf-8")]
    assert len(commands) > 3
    assert [path.name for path in commands if "mask_output()" not in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("command", ["aa_utils.run", "aa_utils.generate", "aa_utils.benchmarks", "aa_utils.experiment", "aa_utils"])
def test_no_command_repeats_a_key(command):
    done = subprocess.run(
        [sys.executable, "-m", command, "no-such-thing", f"--{KEY}", KEY],
        capture_output=True,
        text=True,
        env=os.environ | {"MY_API_KEY": KEY},
    )
    assert done.returncode != 0
    assert "gr" + "üße" not in done.stdout + done.stderr
