# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from dataclasses import replace

import pytest
from support.sandbox.commands import SandboxError
from support.sandbox.image import (
    Inputs,
    Source,
    apt_settings,
    parse_deb822,
    parse_one_line,
    pip_settings,
    read_sources,
    render_sources,
    usable_sources,
)

DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: http://old.test/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.test/debian
Suites: bookworm
Components: main
"""
MAIN = Source(("http://mirror.test/debian",), ("bookworm",), ("main",))


def test_deb822_stanzas_are_read_and_those_that_are_off_or_sources_are_not():
    assert parse_deb822(DEB822) == [
        Source(
            ("http://mirror.test/debian",),
            ("bookworm", "bookworm-updates"),
            ("main", "contrib"),
            "/usr/share/keyrings/debian-archive-keyring.gpg",
        )
    ]


def test_a_key_inside_a_stanza_is_kept_line_by_line():
    text = "Types: deb\nURIs: http://mirror.test/d\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN PGP\n .\n abc\n"
    (source,) = parse_deb822(text)
    assert source.signed_by == "\n -----BEGIN PGP\n .\n abc"
    assert parse_deb822(render_sources([source])) == [source]


@pytest.mark.parametrize(
    ("line", "source"),
    [
        pytest.param(
            "deb http://m.test/u noble main universe # note", Source(("http://m.test/u",), ("noble",), ("main", "universe")), id="plain"
        ),
        pytest.param(
            "deb [arch=amd64 signed-by=/k.gpg] http://m.test/u noble main",
            Source(("http://m.test/u",), ("noble",), ("main",), "/k.gpg"),
            id="key",
        ),
        pytest.param("deb-src http://m.test/u noble main", None, id="sources of packages"),
        pytest.param("# deb http://m.test/u noble main", None, id="comment"),
    ],
)
def test_one_line_sources_are_read(line, source):
    assert parse_one_line(line) == ([source] if source else [])


def test_files_of_both_kinds_are_read_and_files_that_apt_ignores_are_not(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.test/d bookworm main\n")
    (tmp_path / "sources.list.d" / "b.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "c.list.disabled").write_text("deb http://c.test/d bookworm main\n")
    assert [source.uris[0] for source in read_sources(tmp_path)] == ["http://a.test/d", "http://mirror.test/debian"]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(Source(("file:///srv/mirror",), ("bookworm",), ("main",)), id="a folder of this computer"),
        pytest.param(Source(("https://tool.test/deb",), ("stable",), ("main",)), id="another suite"),
        pytest.param(Source(("https://docker.test/linux/debian",), ("bookworm",), ("stable",)), id="a stranger's component"),
        pytest.param(Source(("https://pg.test",), ("bookworm-pgdg",), ("main",)), id="a stranger's pocket"),
    ],
)
def test_what_is_not_the_distribution_or_not_reachable_stays_out(source):
    assert usable_sources([source, MAIN], "bookworm") == (MAIN,)


def test_mirrors_that_stand_in_a_file_are_named_themselves(tmp_path):
    mirrors = tmp_path / "mirrors.txt"
    mirrors.write_text("http://first.test/ubuntu priority:1\nhttps://second.test/ubuntu priority:2\n")
    source = Source((f"mirror+file:{mirrors}",), ("noble",), ("main",))
    assert usable_sources([source], "noble")[0].uris == ("http://first.test/ubuntu", "https://second.test/ubuntu")


def test_no_usable_source_is_an_error_that_names_the_release():
    with pytest.raises(SandboxError, match="no apt source of this computer offers bookworm"):
        usable_sources([Source(("file:///srv",), ("bookworm",), ("main",))], "bookworm")


def test_apt_settings_keep_proxy_and_checks_but_no_hooks_and_no_files_of_this_computer():
    dump = """\
Acquire::http::Proxy "http://proxy.test:3128";
Acquire::https::CAInfo "/etc/mine.pem";
Acquire::http::Proxy-Auto-Detect "/usr/bin/mine";
Acquire::Check-Valid-Until "false";
APT::Update::Post-Invoke-Success:: "/usr/bin/hook";
Dir::Cache::pkgcache "";
"""
    assert apt_settings(dump) == 'Acquire::http::Proxy "http://proxy.test:3128";\nAcquire::Check-Valid-Until "false";\n'


def test_pip_settings_keep_reachable_indexes_for_pip_and_uv():
    listing = """\
:env:.find-links='/opt/wheels'
global.cert='/mine.pem'
global.extra-index-url='file:///opt/simple https://extra.test/simple'
global.index-url='https://index.test/simple'
"""
    pip, uv = pip_settings(listing)
    assert "index-url = https://index.test/simple" in pip.splitlines()
    assert "extra-index-url = https://extra.test/simple" in pip.splitlines()
    assert "file:" not in pip and "find-links" not in pip and "mine.pem" not in pip
    assert uv.count("[[index]]") == 2
    assert 'url = "https://index.test/simple"\ndefault = true' in uv


def test_pip_without_settings_leaves_uv_alone():
    assert pip_settings("")[1] == ""


def test_the_digest_moves_with_what_the_image_is_made_of():
    inputs = Inputs("bookworm", (MAIN,), "", (), "", "", "")
    assert inputs.digest() == replace(inputs).digest()
    changed = [replace(inputs, codename="trixie"), replace(inputs, authorities=("x",)), replace(inputs, pip="[global]")]
    assert len({inputs.digest(), *(other.digest() for other in changed)}) == 4
