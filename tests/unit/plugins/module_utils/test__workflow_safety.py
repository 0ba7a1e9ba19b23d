# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import parse_wanted_url
from ansible_collections.emprops.comfyui.plugins.module_utils._models import parse_models
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import (
    DEFAULT_HOSTS,
    LONGEST_MESSAGE,
    CheckedUrl,
    HostsError,
    RefusedError,
    check_directory,
    check_hosts,
    check_model_name,
    check_url,
    is_named_origin,
    is_private_host,
    looks_like_secret,
    printable,
)
from hypothesis import example, given
from hypothesis import strategies as st

HUB = "https://huggingface.co/owner/repo/resolve/main"
TOKEN = "hf_" + "aB3dE5gH7j" * 4

hostile_text = st.text(st.sampled_from("ab./\\~: \t\n\0{%#}$é\u200b\ud800\ufffd-_") | st.characters(), max_size=40)
pieces_of_addresses = [
    *("https:", "HTTPS:", "http:", "//", "/", "\\", "@", ":", "#", "?", "&", ";", ".", "..", " ", "\t", "\n", "%", "user", "{{"),
    *("huggingface.co", "hf.co", "civitai.com", "evil.example", "127.0.0.1", "2130706433", "0x7f.1", "[::1]", "localhost", "443", "8443"),
    *(
        "%2e",
        "%2f",
        "%5c",
        "%00",
        "%2574oken=",
        "é",
        "\u3002",
        "\u200b",
        "\ud800",
        "token=",
        TOKEN,
        "download=true",
        "a/b/blob/main/",
        "x.pt",
    ),
]
hostile_url = st.text(max_size=60) | st.builds(
    lambda start, rest: start + "".join(rest),
    st.sampled_from(["", "https://", "https://huggingface.co", f"{HUB}/", "https://civitai.com/api/download/models/1?"]),
    st.lists(st.sampled_from(pieces_of_addresses), max_size=10),
)


def model(name, directory="checkpoints", url=f"{HUB}/x.safetensors"):
    return {"name": name, "directory": directory, "url": url, "sha256": None, "size": None}


def parse_one(entry):
    """What the module `models` makes of it."""
    (row,) = parse_models(Path("/nonexistent/store"), [entry], allow_pickle=True)
    assert row.state != "failed", row.error
    return row.wanted


@pytest.mark.parametrize(
    "value, expected",
    [
        pytest.param("v1-5.safetensors", "v1-5.safetensors", id="a plain name"),
        pytest.param("SDXL\\base\\x.safetensors", "SDXL/base/x.safetensors", id="backslashes are separators"),
        pytest.param(" x.safetensors ", "x.safetensors", id="blanks around it are dropped"),
        pytest.param("a b (v2) + c & d, 'e' ~$f.pt", "a b (v2) + c & d, 'e' ~$f.pt", id="what only a shell would mind"),
        pytest.param("模型/é.safetensors", "模型/é.safetensors", id="non-ASCII"),
        pytest.param("static-$stat-b-1-h-512.engine", "static-$stat-b-1-h-512.engine", id="a dollar"),
        pytest.param("a..b...c.pt", "a..b...c.pt", id="dots inside"),
        pytest.param("x{1}.pt", "x{1}.pt", id="single braces"),
        pytest.param("-rf", "-rf", id="a dash in front"),
        pytest.param("é" * 127, "é" * 127, id="254 bytes"),
    ],
)
def test_names_of_models_are_taken(value, expected):
    assert check_model_name(value) == expected


@pytest.mark.parametrize(
    "value, rule",
    [
        pytest.param("../x.pt", "straight down", id="up"),
        pytest.param("a/../../x.pt", "straight down", id="up from below"),
        pytest.param("a\\..\\x.pt", "straight down", id="up with backslashes"),
        pytest.param("..", "straight down", id="nothing but up"),
        pytest.param("a/./x.pt", "straight down", id="a dot"),
        pytest.param("a//x.pt", "straight down", id="an empty part"),
        pytest.param("a/", "straight down", id="a slash at the end"),
        pytest.param("/etc/passwd", "relative", id="absolute"),
        pytest.param("\\\\server\\share\\x.pt", "relative", id="UNC"),
        pytest.param("C:\\x.pt", "relative", id="a drive"),
        pytest.param("c:x.pt", "relative", id="a drive without a slash"),
        pytest.param("a\0.pt", "invisible", id="NUL"),
        pytest.param("a\n.pt", "invisible", id="a line break"),
        pytest.param("a.pt\n", "invisible", id="a line break at the end"),
        pytest.param("a\u202etp.", "invisible", id="text that runs backwards"),
        pytest.param("a\u200b.pt", "invisible", id="a blank without width"),
        pytest.param("a\ud800.pt", "invisible", id="half a character"),
        pytest.param("a\ufffd.pt", "undecodable", id="a lost character"),
        pytest.param("{{ lookup('pipe', 'id') }}", "template", id="Jinja"),
        pytest.param("a{%b%}.pt", "template", id="a Jinja statement"),
        pytest.param("a{#b.pt", "template", id="a Jinja comment"),
        pytest.param("https://huggingface.co/x.pt", "address", id="a URL"),
        pytest.param("", "empty", id="nothing"),
        pytest.param("  ", "empty", id="blanks"),
        pytest.param(".hidden", "dot at its ends", id="hidden"),
        pytest.param("a/.b/c", "dot at its ends", id="a hidden folder"),
        pytest.param("a.", "dot at its ends", id="a dot at the end"),
        pytest.param("a /b.pt", "blank there", id="a blank at the end of a folder"),
        pytest.param("é" * 128, "255 bytes", id="256 bytes in one part"),
        pytest.param("/".join(["a" * 100] * 11), "1024 bytes", id="long altogether"),
        pytest.param("é/" * 400 + "x", "1024 bytes", id="long in bytes only"),
        pytest.param(None, "a text", id="null"),
        pytest.param(7, "a text", id="a number"),
    ],
)
def test_hostile_names_are_refused_by_the_rule_and_not_repeated(value, rule):
    with pytest.raises(RefusedError, match=rule) as caught:
        check_model_name(value)
    assert not isinstance(value, str) or len(value) < 4 or value not in str(caught.value)


@given(hostile_text)
@example("a\\..")
@example("~/x")
def test_a_name_is_refused_or_stays_below_the_folder_it_is_joined_to(value):
    try:
        name = check_model_name(value)
    except RefusedError:
        return
    root = Path("/models")
    assert (root / name).resolve().is_relative_to(root)
    assert (root / name).resolve() != root
    assert check_model_name(name) == name


@given(hostile_text)
def test_what_passes_here_the_models_module_takes_too(value):
    try:
        directory, _slash, name = f"loras/{check_model_name(value)}".rpartition("/")
    except RefusedError:
        return
    assert parse_one(model(name, directory)).label == f"{directory}/{name}"


@pytest.mark.parametrize(
    "value, expected",
    [
        pytest.param("checkpoints", "checkpoints", id="a key"),
        pytest.param("clip_gguf", "clip_gguf", id="a key of a pack"),
        pytest.param("tensorrt/depth-anything", "tensorrt/depth-anything", id="a path"),
        pytest.param("loras\\sdxl\\", "loras/sdxl", id="backslashes, one at the end"),
        pytest.param("LLM/", "LLM", id="a slash at the end"),
        pytest.param("loras/user", "loras/user", id="a forbidden word further down"),
    ],
)
def test_folders_of_models_are_taken(value, expected):
    assert check_directory(value) == expected


@pytest.mark.parametrize("value", ["custom_nodes", "Custom_Nodes/x", "custom_nodes\\x", "configs", "user", "input", "output", "temp"])
def test_folders_of_code_and_settings_are_refused(value):
    with pytest.raises(RefusedError, match="not a folder for models"):
        check_directory(value)


@pytest.mark.parametrize(
    "value", ["", "/", ".", "..", "../loras", "/srv/models", "loras/../custom_nodes", "~/x", "$HOME", "C:\\x", "a:b", "{{x}}", None]
)
def test_folders_that_lead_elsewhere_are_refused(value):
    with pytest.raises(RefusedError):
        check_directory(value)


@given(hostile_text)
def test_a_folder_is_refused_or_one_that_the_models_module_takes(value):
    try:
        directory = check_directory(value)
    except RefusedError:
        return
    assert parse_one(model("x.pt", directory)).directory == directory


@pytest.mark.parametrize(
    "url, expected",
    [
        pytest.param(f"{HUB}/x.safetensors", CheckedUrl(f"{HUB}/x.safetensors", "x.safetensors", False), id="as it should be"),
        pytest.param(f"{HUB.replace('resolve', 'blob')}/x.pt", CheckedUrl(f"{HUB}/x.pt", "x.pt", False), id="the page of a file"),
        pytest.param(f"{HUB}/x.pt?download=true", CheckedUrl(f"{HUB}/x.pt", "x.pt", False), id="the browser's download=true"),
        pytest.param(f"{HUB}/x.pt?download=true&rev=2", CheckedUrl(f"{HUB}/x.pt?rev=2", "x.pt", False), id="another parameter stays"),
        pytest.param(
            "https://hf.co/a/b/resolve/main/x.pt", CheckedUrl("https://huggingface.co/a/b/resolve/main/x.pt", "x.pt", False), id="hf.co"
        ),
        pytest.param(f"  {HUB}/x.pt\n", CheckedUrl(f"{HUB}/x.pt", "x.pt", False), id="blanks and a line break around it"),
        pytest.param(f"{HUB}/x.pt#sha", CheckedUrl(f"{HUB}/x.pt", "x.pt", False), id="a fragment is dropped"),
        pytest.param("HTTPS://HuggingFace.CO/a/X.pt", CheckedUrl("https://huggingface.co/a/X.pt", "X.pt", False), id="capitals"),
        pytest.param("https://huggingface.co:443/a/x.pt", CheckedUrl("https://huggingface.co/a/x.pt", "x.pt", False), id="the usual port"),
        pytest.param(f"{HUB}/a b.pt", CheckedUrl(f"{HUB}/a%20b.pt", "a b.pt", False), id="a blank in the name"),
        pytest.param(f"{HUB}/%C3%A9%2B.pt", CheckedUrl(f"{HUB}/%C3%A9%2B.pt", "é+.pt", False), id="a quoted name"),
        pytest.param(f"{HUB}/é.pt", CheckedUrl(f"{HUB}/%C3%A9.pt", "é.pt", False), id="non-ASCII in the path"),
        pytest.param(f"{HUB}/a%2Fb.pt", CheckedUrl(f"{HUB}/a%2Fb.pt", None, False), id="a quoted slash names nothing"),
        pytest.param(f"{HUB}/%7B%7Bx%7D%7D", CheckedUrl(f"{HUB}/%7B%7Bx%7D%7D", None, False), id="quoted Jinja names nothing"),
        pytest.param(f"{HUB}/%FF.pt", CheckedUrl(f"{HUB}/%FF.pt", None, False), id="a broken quotation names nothing"),
        pytest.param(f"{HUB}/", CheckedUrl(f"{HUB}/", None, False), id="a folder names nothing"),
        pytest.param(
            "https://civitai.com/api/download/models/14?type=Model&token=abc",
            CheckedUrl("https://civitai.com/api/download/models/14?type=Model", None, True),
            id="CivitAI says the name itself, and a token is left out",
        ),
        pytest.param(f"{HUB}/x.pt?%74oken=abc", CheckedUrl(f"{HUB}/x.pt", "x.pt", True), id="a token under a quoted name"),
        pytest.param(f"{HUB}/x.pt?API-Key=abc;a=1", CheckedUrl(f"{HUB}/x.pt?a=1", "x.pt", True), id="a key behind a semicolon"),
        pytest.param(f"{HUB}/x.pt?x={TOKEN}", CheckedUrl(f"{HUB}/x.pt", "x.pt", True), id="a token under a harmless name"),
        pytest.param(f"{HUB}/x.pt?{TOKEN}", CheckedUrl(f"{HUB}/x.pt", "x.pt", True), id="a token without a name"),
        pytest.param(f"{HUB}/x.pt?a{TOKEN}=1&b=2", CheckedUrl(f"{HUB}/x.pt?b=2", "x.pt", True), id="a token for a name"),
        pytest.param(f"{HUB}/x.pt?a=1; ;token=b", CheckedUrl(f"{HUB}/x.pt?a=1", "x.pt", True), id="a blank between parameters"),
        pytest.param(f"{HUB}/x.pt?X-Amz-Signature=1", CheckedUrl(f"{HUB}/x.pt", "x.pt", True), id="a signature"),
        pytest.param(f"{HUB}/x.pt?token=", CheckedUrl(f"{HUB}/x.pt", "x.pt", False), id="no token after all"),
    ],
)
def test_addresses_on_the_list_are_taken_and_tidied(url, expected):
    assert check_url(url, DEFAULT_HOSTS) == expected


@pytest.mark.parametrize(
    "url, rule",
    [
        pytest.param("http://huggingface.co/x.pt", "not https", id="unencrypted"),
        pytest.param("ftp://huggingface.co/x.pt", "https://host/path", id="another scheme"),
        pytest.param("file:///etc/passwd", "https://host/path", id="a file"),
        pytest.param("javascript:alert(1)", "https://host/path", id="a script"),
        pytest.param("https:/huggingface.co/x.pt", "https://host/path", id="one slash"),
        pytest.param("https:huggingface.co/x.pt", "https://host/path", id="no slash"),
        pytest.param("//huggingface.co/x.pt", "https://host/path", id="no scheme"),
        pytest.param("https:///huggingface.co/x.pt", "https://host/path", id="no host"),
        pytest.param("huggingface.co/x.pt", "https://host/path", id="nothing in front"),
        pytest.param("", "https://host/path", id="nothing"),
        pytest.param("https://user@huggingface.co/x.pt", "https://host/path", id="a user"),
        pytest.param("https://user:word@huggingface.co/x.pt", "https://host/path", id="a password"),
        pytest.param("https://huggingface.co@evil.example/x.pt", "https://host/path", id="a listed host for a user"),
        pytest.param("https://huggingface.co:443@evil.example/x.pt", "https://host/path", id="and its port"),
        pytest.param("https://evil.example/huggingface.co/x.pt", "not on the list", id="another host"),
        pytest.param("https://huggingface.co.evil.example/x.pt", "not on the list", id="a listed host in front"),
        pytest.param("https://evilhuggingface.co/x.pt", "not on the list", id="a listed host at the end"),
        pytest.param("https://sub.huggingface.co/x.pt", "not on the list", id="a host below a listed one"),
        pytest.param("https://huggingface.co./x.pt", "not on the list", id="a dot behind the host"),
        pytest.param("https://xn--huggingface-9za.co/x.pt", "not on the list", id="punycode"),
        pytest.param("https://hugging\u0192ace.co/x.pt", "https://host/path", id="a host that only looks like it"),
        pytest.param("https://huggingface\u3002co/x.pt", "https://host/path", id="a dot that browsers translate"),
        pytest.param("https://huggingface%2eco/x.pt", "https://host/path", id="a quoted host"),
        pytest.param("https://huggingface.co\\@evil.example/", "backslashes", id="a backslash, which browsers turn"),
        pytest.param("https:\\\\huggingface.co/x.pt", "backslashes", id="backslashes in front"),
        pytest.param("https://hugging\tface.co/x.pt", "line breaks", id="a tab, which browsers drop"),
        pytest.param(f"{HUB}/x\r\nHost: evil.example", "line breaks", id="a header"),
        pytest.param(f"{HUB}/x\u202egp.pt", "invisible", id="text that runs backwards"),
        pytest.param(f"{HUB}/%0d%0ax.pt", "control characters", id="a quoted line break"),
        pytest.param(f"{HUB}/%00.pt", "control characters", id="a quoted NUL"),
        pytest.param(f"{HUB}/../../x.pt", "straight down", id="up"),
        pytest.param(f"{HUB}/%2E%2e/x.pt", "straight down", id="up, quoted"),
        pytest.param("https://huggingface.co:8443/x.pt", "port of its own", id="another port"),
        pytest.param("https://huggingface.co:99999/x.pt", "port of its own", id="no port at all"),
        pytest.param("https://127.0.0.1/x.pt", "IP address", id="IPv4"),
        pytest.param("http://127.0.0.1:8188/x.pt", "IP address", id="IPv4, unencrypted"),
        pytest.param("https://2130706433/x.pt", "IP address", id="IPv4 as one number"),
        pytest.param("https://0x7f000001/x.pt", "IP address", id="hexadecimal"),
        pytest.param("https://0177.0.0.1/x.pt", "IP address", id="octal"),
        pytest.param("https://127.1/x.pt", "IP address", id="short"),
        pytest.param("https://127.0.0.1./x.pt", "IP address", id="with a dot behind"),
        pytest.param("https://[::1]/x.pt", "IP address", id="IPv6"),
        pytest.param("https://[::ffff:127.0.0.1]/x.pt", "IP address", id="IPv4 in IPv6"),
        pytest.param("https://169.254.169.254/latest/meta-data", "IP address", id="the cloud's own"),
        pytest.param("https://localhost/x.pt", "private network", id="localhost"),
        pytest.param("https://a.localhost/x.pt", "private network", id="below localhost"),
        pytest.param("https://printer.local/x.pt", "private network", id=".local"),
        pytest.param("https://metadata.google.internal/x.pt", "private network", id=".internal"),
        pytest.param(f"{HUB}/{TOKEN}/x.pt", "looks like a token", id="a token in the path"),
        pytest.param(f"{HUB}/%68{TOKEN[1:]}/x.pt", "looks like a token", id="a token in the path, quoted"),
        pytest.param(f"{HUB}/{'x' * 2048}", "2048 characters", id="long"),
        pytest.param(None, "a text", id="null"),
    ],
)
def test_other_addresses_are_refused_by_the_rule(url, rule):
    with pytest.raises(RefusedError, match=re.escape(rule)) as caught:
        check_url(url, DEFAULT_HOSTS)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "hosts, url",
    [
        pytest.param(["hub.example"], "https://hub.example/x.pt", id="a host"),
        pytest.param(["http://127.0.0.1:8080"], "http://127.0.0.1:8080/x.pt", id="an origin, private and unencrypted"),
        pytest.param(["http://127.0.0.1:8080/"], "http://127.0.0.1:8080/x.pt", id="a slash behind an origin"),
        pytest.param(["http://[::1]:8080"], "http://[::1]:8080/x.pt", id="IPv6"),
        pytest.param(["https://hub.internal"], "https://hub.internal/x.pt", id="a private name"),
        pytest.param(["https://hub.example:8443"], "https://hub.example:8443/x.pt", id="a port"),
        pytest.param(["Hub.Example"], "https://hub.example/x.pt", id="capitals"),
    ],
)
def test_the_operator_decides_which_hosts_are_asked(hosts, url):
    assert check_url(url, hosts).url == url
    for other in (url.replace("//", "//x."), url.replace("/x.pt", "1/x.pt"), url.replace("http", "ftp", 1)):
        with pytest.raises(RefusedError):
            check_url(other, hosts)


@pytest.mark.parametrize(
    "hosts, url",
    [
        pytest.param(["http://127.0.0.1:8080"], "http://127.0.0.1:8081/x.pt", id="another port"),
        pytest.param(["http://127.0.0.1:8080"], "https://127.0.0.1:8080/x.pt", id="another scheme"),
        pytest.param(["http://127.0.0.1:8080"], "http://127.0.0.2:8080/x.pt", id="another host"),
        pytest.param(["hub.example"], "http://hub.example/x.pt", id="a host means https"),
        pytest.param(["hf.co"], "https://hf.co/a/b/resolve/main/x.pt", id="hf.co is huggingface.co"),
        pytest.param(["https://huggingface.co:8443"], "https://huggingface.co:8443/a/b/x.pt", id="the hub has no other ports"),
        pytest.param([], f"{HUB}/x.pt", id="nothing is allowed"),
    ],
)
def test_an_origin_on_the_list_is_that_origin_and_no_other(hosts, url):
    with pytest.raises(RefusedError):
        check_url(url, hosts)


def test_a_word_stands_for_the_usual_hosts_beside_others():
    assert check_url(f"{HUB}/x.pt", ["https://hub.internal", "default"]).url == f"{HUB}/x.pt"
    assert check_url("https://hub.internal/x.pt", ["default", "https://hub.internal"]).url == "https://hub.internal/x.pt"
    with pytest.raises(RefusedError):
        check_url("https://other.example/x.pt", ["default"])


def test_folders_and_machines_on_the_list_open_no_web_server():
    hosts = ["file:///mnt/share", "ssh://me@hub.example:22", "ssh+store://hub.example", "hub.example"]
    check_hosts(hosts)
    assert check_url("https://hub.example/x.pt", hosts).file_name == "x.pt"
    for url in ("file:///mnt/share/x.pt", "ssh://me@hub.example:22/x.pt"):
        with pytest.raises(RefusedError, match="https://host/path"):
            check_url(url, hosts)


@pytest.mark.parametrize(
    "hosts, named",
    [
        pytest.param(["hub.example"], False, id="a host is a public one"),
        pytest.param(["https://hub.example"], True, id="with its scheme it may be a private one"),
        pytest.param(["hub.example", "https://hub.example:443"], True, id="both"),
        pytest.param(["https://hub.example", "hub.example"], True, id="both, the other way round"),
        pytest.param(["http://hub.example"], False, id="another scheme"),
        pytest.param(["default"], False, id="the usual ones"),
    ],
)
def test_only_what_is_named_with_its_scheme_may_be_private(hosts, named):
    assert is_named_origin(("https", "hub.example", 443), hosts) is named


@pytest.mark.parametrize(
    "host, private", [("hub.example", False), ("10.1", True), ("8.8.8.8", True), ("[::1]", True), ("a.lan", True), ("localhost", True)]
)
def test_a_host_that_is_no_public_name_is_known_by_its_spelling(host, private):
    assert is_private_host(host) is private


@pytest.mark.parametrize(
    "entry", ["", "*", "a b", "ftp://x", "hub:8080", "127.0.0.1", "localhost", "hub.local", "http://x:0", "http://x:70000", "http://x/y"]
)
def test_a_list_of_hosts_that_says_something_else_is_the_operators_error(entry):
    for ask in (check_hosts, lambda hosts: check_url(f"{HUB}/x.safetensors", hosts)):
        with pytest.raises(HostsError, match="allowed_hosts"):
            ask(["huggingface.co", entry])


def test_the_hosts_of_the_defaults_are_hosts_and_a_mistake_is_said_without_its_password():
    check_hosts(DEFAULT_HOSTS)
    with pytest.raises(HostsError) as caught:
        check_hosts(["https://me:word@hub.example"])
    assert "word" not in str(caught.value)


def browser_host(url):
    """The host as browsers find it: without tabs, with either slash, and with what stands behind the last @."""
    text = re.sub(r"[\t\r\n]", "", url.strip("".join(map(chr, range(33))))).replace("\\", "/")
    match = re.match(r"https?:/*([^/?#]*)", text, re.IGNORECASE)
    assert match
    return match[1].rpartition("@")[2].partition(":")[0].lower()


@given(hostile_url)
@example("https://huggingface.co\\.evil.example/")
@example("https://huggingface.co/\\evil.example/x")
def test_an_address_is_refused_or_leads_to_a_host_on_the_list_whoever_reads_it(url):
    try:
        checked = check_url(url, DEFAULT_HOSTS)
    except RefusedError as error:
        assert TOKEN not in str(error)
        return
    assert urlsplit(checked.url).hostname in DEFAULT_HOSTS
    assert browser_host(checked.url) in DEFAULT_HOSTS
    assert browser_host(url) in DEFAULT_HOSTS
    assert checked.url.isascii() and checked.url.isprintable() and " " not in checked.url
    assert TOKEN not in checked.url
    assert parse_wanted_url(checked.url) == checked.url
    assert check_url(checked.url, DEFAULT_HOSTS) == CheckedUrl(checked.url, checked.file_name, False)


@given(hostile_text)
def test_the_name_in_an_address_is_one_that_may_be_given_to_a_file(name):
    try:
        checked = check_url(f"{HUB}/{quote(name, errors='replace')}", DEFAULT_HOSTS)
    except RefusedError:
        return
    assert checked.file_name is None or "/" not in check_model_name(checked.file_name)


@pytest.mark.parametrize(
    "text, expected",
    [
        pytest.param("a model", "a model", id="plain"),
        pytest.param("é 模型", "é 模型", id="non-ASCII"),
        pytest.param("a\nb\x1b[31mc\ud800", "a\ufffdb\ufffd[31mc\ufffd", id="what a terminal would obey"),
        pytest.param(f"set {TOKEN} here", "set *** here", id="a token"),
        pytest.param("https://me:word@host/x", "https://***@host/x", id="a user in an address"),
        pytest.param("https://host/x?token=abc&a=1", "https://host/x?token=***&a=1", id="a token in an address"),
        pytest.param("https://host/x?key=abc", "https://host/x?key=***", id="a key in an address"),
        pytest.param('"api_key": "abc", "x": 1', '"api_key": "***", "x": 1', id="a key in JSON"),
        pytest.param("keyframe=3 author: me", "keyframe=3 author: me", id="words that only begin so"),
    ],
)
def test_texts_are_made_safe_for_messages(text, expected):
    assert printable(text) == expected


@given(st.text())
def test_a_message_is_short_one_line_and_writable(text):
    shown = printable(text * 20)
    assert len(shown) <= LONGEST_MESSAGE
    assert shown.encode().decode().splitlines() in ([], [shown])


@pytest.mark.parametrize(
    "widget, value",
    [
        pytest.param("text", TOKEN, id="Hugging Face"),
        pytest.param(None, f"use {TOKEN}", id="inside a text"),
        pytest.param("text", "sk-proj-a1B2c3D4e5F6g7H8i9J0k1L2", id="OpenAI"),
        pytest.param("text", "ghp_" + "a1" * 18, id="GitHub"),
        pytest.param("text", "github_pat_" + "a1" * 20, id="GitHub, fine-grained"),
        pytest.param("text", "glpat-" + "a1" * 10, id="GitLab"),
        pytest.param("text", "xoxb-0123456789-abcdef", id="Slack"),
        pytest.param("text", "r8_" + "a1" * 18, id="Replicate"),
        pytest.param("text", "rpa_" + "A1" * 18, id="RunPod"),
        pytest.param("text", "ya29." + "a1" * 18, id="Google's sessions"),
        pytest.param("text", "api_org_" + "a1" * 18, id="an organisation at Hugging Face"),
        pytest.param("text", "comfyui-" + "a1" * 32, id="ComfyUI's own"),
        pytest.param("text", "Authorization: Bearer 0123456789abcdef", id="a header"),
        pytest.param("text", "AKIA" + "A1B2C3D4" * 2, id="AWS"),
        pytest.param("text", "AIza" + "a1B2c" * 7, id="Google"),
        pytest.param("text", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", id="JWT"),
        pytest.param("text", "-----BEGIN RSA PRIVATE KEY-----", id="a private key"),
        pytest.param("token", "0123456789abcdef" * 2, id="CivitAI, by the widget's name"),
        pytest.param("civitai_token", "0123456789abcdef" * 2, id="a longer name"),
        pytest.param("apiKey", "abcdefgh1234", id="a name in camel case"),
        pytest.param("API_KEY_2", "abcdefgh1234", id="a name with a number"),
        pytest.param("secret_access_key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYxxx", id="AWS, by name"),
        pytest.param("password", "hunter2", id="a short password"),
        pytest.param("db_password", "$ecret word", id="a password with a blank"),
    ],
)
def test_secrets_are_noticed(widget, value):
    assert looks_like_secret(widget, value)


@pytest.mark.parametrize(
    "widget, value",
    [
        pytest.param("token", "", id="empty"),
        pytest.param("token", "None", id="a choice"),
        pytest.param("token", "Hugging Face", id="a provider"),
        pytest.param("token", "YOUR_API_TOKEN", id="a placeholder in capitals"),
        pytest.param("api_key", "<your api key>", id="a placeholder in brackets"),
        pytest.param("api_key", "enter your key here", id="a placeholder in words"),
        pytest.param("hf_token", "hf_xxx...", id="a placeholder with dots"),
        pytest.param("token", "xxxxxxxxxxxx", id="crosses"),
        pytest.param("token", "${HF_TOKEN}", id="a variable"),
        pytest.param("token_provider", "Hugging Face Hub", id="not a token but who gives one"),
        pytest.param("token_normalization", "length+mean", id="tokens of language"),
        pytest.param("trigger_token", "ohwx_person", id="a token of training"),
        pytest.param("max_tokens", "4096", id="a number of tokens"),
        pytest.param("key_4", "controlnet_strength_2", id="a key of a dictionary"),
        pytest.param("ckpt_name", "0123456789abcdef0123456789abcdef.safetensors", id="a digest in a name"),
        pytest.param("text", "a mask-like shape, task-oriented sk-etch", id="syllables"),
        pytest.param(None, "a landscape", id="plain"),
    ],
)
def test_other_values_are_no_secrets(widget, value):
    assert not looks_like_secret(widget, value)


@given(st.none() | st.text(), st.text())
def test_any_value_can_be_asked_about(widget, value):
    assert looks_like_secret(widget, value) in (True, False)
