# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import (
    DownloadError,
    expires_at,
    is_signed,
    origin_of,
    parse_tokens,
    parse_url,
    parse_wanted_url,
    printable_url,
    split_secrets,
)
from hypothesis import given
from hypothesis import strategies as st

AMAZON = "https://b.s3.example/m.gguf?X-Amz-Date=20260102T030405Z&X-Amz-Expires=3600&X-Amz-Signature=abc"
GOOGLE = "https://storage.example/b/m.gguf?X-Goog-Date=20260102T030405Z&X-Goog-Expires=60&X-Goog-Signature=abc"
AZURE = "https://a.blob.example/c/m.gguf?sv=2024-11-04&se=2026-01-02T03%3A04%3A05Z&sr=b&sp=r&sig=abc%3D"
CLOUDFRONT = "https://d1.cdn.example/m.gguf?Expires=1767323045&Signature=abc__&Key-Pair-Id=K1"
BEGIN = 1767323045.0  # 2026-01-02 03:04:05 UTC


@pytest.mark.parametrize(
    "url, expected",
    [
        ("https://huggingface.co/o/r/blob/main/d/w.gguf", "https://huggingface.co/o/r/resolve/main/d/w.gguf"),
        ("https://huggingface.co/gpt2/blob/main/w.bin", "https://huggingface.co/gpt2/resolve/main/w.bin"),
        ("https://huggingface.co/datasets/o/r/blob/main/w", "https://huggingface.co/datasets/o/r/resolve/main/w"),
        ("https://hf.co/o/r/resolve/main/w", "https://huggingface.co/o/r/resolve/main/w"),
        ("https://huggingface.co/o/r/resolve/main/blob/w", "https://huggingface.co/o/r/resolve/main/blob/w"),
        ("https://Mirror.example/o/r/blob/main/w x#part", "https://mirror.example/o/r/resolve/main/w%20x"),
        ("https://github.com/o/r/blob/main/w.gguf", "https://github.com/o/r/raw/main/w.gguf"),
        ("https://example.com/blob/main/w", "https://example.com/blob/main/w"),
        ("https://example.com/r/blob/main/w", "https://example.com/r/blob/main/w"),
        ("https://example.com/o/r/blob/main/w?sig=abc", "https://example.com/o/r/blob/main/w?sig=abc"),
        ("https://example.com/a%20b?x=é", "https://example.com/a%20b?x=%C3%A9"),
        ("https://example.com", "https://example.com/"),
    ],
)
def test_an_address_is_asked_for_as_it_was_meant(url, expected):
    assert parse_wanted_url(url) == expected
    assert parse_wanted_url(expected) == expected


@pytest.mark.parametrize(
    "url, message",
    [
        pytest.param("ftp://h/a", "neither http nor https", id="another protocol"),
        pytest.param("file:///etc/passwd", "neither http nor https", id="a local file"),
        pytest.param("https://user:pw@h/a", "password", id="a password"),
        pytest.param("https://h/a?token=abc", "tokens", id="a token"),
        pytest.param("https://h/a?API_KEY=abc", "tokens", id="a token under another name"),
        pytest.param("https:///a", "host", id="no host"),
        pytest.param("https://[::1/a", "malformed", id="half an address"),
        pytest.param("https://h:99999/a", "malformed", id="no such port"),
        pytest.param("https://h:0/a", "host", id="port zero"),
        pytest.param("https://h/\ud800", "malformed", id="no text"),
        pytest.param(f"https://h/{'a' * 9000}", "longer than", id="too long"),
    ],
)
def test_what_cannot_be_asked_is_refused_without_its_secret(url, message):
    with pytest.raises(DownloadError, match=message) as caught:
        parse_wanted_url(url)
    assert "abc" not in str(caught.value) and "pw" not in str(caught.value)


@given(st.text())
def test_an_address_goes_into_a_request_line_or_is_refused(text):
    try:
        url = parse_url(f"https://h/{text}")
    except DownloadError:
        return
    assert url.isascii() and url.isprintable() and " " not in url


def test_a_printed_address_has_no_query_and_no_password():
    assert printable_url("https://u:secret@h:8/a\nb?X-Amz-Signature=secret#secret") == "https://h:8/ab"
    assert printable_url("https://[half") == "(a malformed url)"
    assert printable_url("https://h/\ud800") == "https://h/%3F"
    assert parse_url("https://h/a?X-Amz-Signature=s") == "https://h/a?X-Amz-Signature=s"


@pytest.mark.parametrize(
    "url, printed",
    [
        pytest.param("https://user:pa/SECRET@h/f?download=true", "https://h/f", id="a slash in a password"),
        pytest.param("https://user:80/SECRET/SECRET@h:8/f", "https://h:8/f", id="two of them, behind a number"),
        pytest.param("https://user:80?SECRET@h/f", "(a malformed url)", id="a question mark"),
        pytest.param("https://user:80#SECRET@h/f", "(a malformed url)", id="a hash"),
        pytest.param("https://user/SECRET@[h/f", "(a malformed url)", id="and no host behind it"),
    ],
)
def test_a_password_that_looks_like_a_path_is_neither_printed_nor_sent(url, printed):
    assert printable_url(url) == printed
    with pytest.raises(DownloadError, match=r"has an @ behind its host: in a path it is written %40") as caught:
        split_secrets(url)
    assert "SECRET" not in str(caught.value) and "user:" not in str(caught.value)


def test_an_at_in_a_path_or_a_query_is_not_one_of_a_user():
    for url in ("https://h/a%40b", "https://h/a?GoogleAccessId=me@project&Signature=abc"):
        assert split_secrets(url) == (url, None)
    # The host of a workflow's address is known to be one.
    assert parse_wanted_url("https://h/a@b") == "https://h/a%40b"


@pytest.mark.parametrize(
    "url, printed",
    [
        pytest.param(f"https://h/o/hf_{'a' * 34}/f?x", "https://h/o/***/f", id="in the path"),
        pytest.param(f"https://h/o/hf%5F{'a' * 34}/f?x", "https://h/o/***/f", id="in other letters"),
        pytest.param(f"https://hf_{'a' * 34}/f", "https://***/f", id="for the host"),
        pytest.param("https://h:s3cret/f", "(a malformed url)", id="for the port"),
    ],
)
def test_what_looks_like_a_token_is_not_printed(url, printed):
    assert printable_url(url) == printed


@pytest.mark.parametrize(
    "url, expected",
    [
        pytest.param("https://h/a?b=1&c", ("https://h/a?b=1&c", None), id="nothing secret"),
        pytest.param("https://h/a?type=Model&token=abc", ("https://h/a?type=Model", "abc"), id="a token"),
        pytest.param("https://h/a?Api_Key=a%2Fb%3D&x=%20y", ("https://h/a?x=%20y", "a/b="), id="a key, the rest as it was"),
        pytest.param("https://h/a?%74oken=abc", ("https://h/a", "abc"), id="a quoted name"),
        pytest.param("https://h/a?token=&b=1", ("https://h/a?b=1", None), id="an empty token"),
        pytest.param("https://h/a?token=abc&token=def", ("https://h/a", "abc"), id="two"),
        pytest.param("https://me:p%40ss@h:8/a", ("https://h:8/a", "me:p@ss"), id="a user and a password"),
        pytest.param("https://hf_abc@h/a", ("https://h/a", "hf_abc"), id="a token for a user"),
        pytest.param("https://h/a#token=abc", ("https://h/a", None), id="a token that nobody would get"),
        pytest.param(AMAZON, (AMAZON, None), id="Amazon's signature"),
        pytest.param(f"{AMAZON}&X-Amz-Security-Token=abc", (f"{AMAZON}&X-Amz-Security-Token=abc", None), id="and what belongs to it"),
        pytest.param(AZURE, (AZURE, None), id="Azure's signature"),
        pytest.param(CLOUDFRONT, (CLOUDFRONT, None), id="CloudFront's signature"),
    ],
)
def test_a_token_is_parted_from_its_address_and_a_signature_is_not(url, expected):
    assert split_secrets(url) == expected


@pytest.mark.parametrize(
    "url", ["https://h/a?token=a%0d%0aX:+1", "https://a%20b@h/a", "https://[half?token=abc", "https://h/a?x=1;token=abc"]
)
def test_a_token_in_an_address_that_cannot_be_a_header_is_refused_without_being_told(url):
    with pytest.raises(DownloadError) as caught:
        split_secrets(url)
    assert "X:" not in str(caught.value) and "abc" not in str(caught.value)


@pytest.mark.parametrize(
    "url, ends",
    [
        pytest.param(AMAZON, BEGIN + 3600, id="Amazon"),
        pytest.param(GOOGLE, BEGIN + 60, id="Google"),
        pytest.param(AZURE, BEGIN, id="Azure"),
        pytest.param(AZURE.replace("03%3A04%3A05", "03%3A04"), BEGIN - 5, id="Azure without seconds"),
        pytest.param(AZURE.replace("T03%3A04%3A05Z", ""), BEGIN - 11045, id="Azure, a day"),
        pytest.param(AZURE.replace("05Z", "05%2B01%3A00"), BEGIN - 3600, id="Azure in another time zone"),
        pytest.param(CLOUDFRONT, BEGIN, id="CloudFront"),
        pytest.param(AMAZON.replace("3600", "soon"), None, id="no number"),
        pytest.param(AMAZON.replace("20260102T030405Z", "today"), None, id="no date"),
        pytest.param(AZURE.replace("2026-01-02", "2026-01-99"), None, id="no such day"),
        pytest.param(CLOUDFRONT.replace("1767323045", "9" * 40), 999999999999.0, id="never"),
        pytest.param(CLOUDFRONT.replace("1767323045", "-99999999999"), None, id="before there were years"),
        pytest.param(AMAZON.replace("20260102", "00010102").replace("3600", "-9999999"), None, id="before there were dates"),
        pytest.param(AZURE.replace("2026-01-02", "0001-01-01").replace("05Z", "05%2B14:00"), None, id="before the first day"),
        pytest.param("https://h/a?sig=abc", None, id="no end named"),
    ],
)
def test_a_signed_link_says_when_it_ends(url, ends):
    assert is_signed(url)
    assert expires_at(url) == ends


@pytest.mark.parametrize("url", ["https://h/a", "https://h/a?Expires=1&se=2020-01-01", "https://[half?sig=1"])
def test_an_address_without_a_signature_never_ends(url):
    assert (is_signed(url), expires_at(url)) == (False, None)


def test_a_token_that_is_no_token_is_refused_without_being_told():
    assert parse_tokens({"H": "abc", "i": "", "j": None, 8080: "def"}) == {"h": "abc", "8080": "def"}
    for token in ("secret\r\nX: 1", 12345):
        with pytest.raises(DownloadError, match="token for h") as caught:
            parse_tokens({"h": token})
        assert "secret" not in str(caught.value) and "12345" not in str(caught.value)


def test_an_origin_has_its_port():
    assert origin_of("https://h/a") == ("https", "h", 443)
    assert origin_of("http://[::1]:8080/") == ("http", "[::1]", 8080)
