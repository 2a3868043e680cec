"""Reports in Markdown and as a page in one file."""

import re

import pytest

from advjax.reports import page, tables

HOSTILE = "<script>alert('x')</script>&\"quoted\""
TABLE = tables.Table(["run", "fooled"], [[HOSTILE, "0.900 [0.73, 0.98]"]], ["a*b"])
PNG = b"\x89PNG\r\n\x1a\nrest"


@pytest.fixture
def blocks(tmp_path):
    file = tmp_path / "curve.png"
    file.write_bytes(PNG)
    return [
        page.Heading("Attacks", 1), TABLE, page.Picture(file, HOSTILE),
        page.Caution(HOSTILE), page.Heading(HOSTILE), page.Html("<hr>"), HOSTILE,
        page.Settings(TABLE),
    ]  # fmt: skip


def test_markdown_links_pictures_and_leaves_html_out(blocks):
    text = page.as_markdown(blocks)
    assert text.startswith(f"# Attacks\n\n{tables.as_markdown(TABLE)}\n\n![curve.png](")
    assert f"**Warning**: {HOSTILE}\n\n## {HOSTILE}\n\n{HOSTILE}\n" in text
    assert text.endswith(f"\n\n{tables.as_markdown(TABLE)}\n")
    assert "<hr>" not in text


def test_a_page_is_one_file_and_escapes_all_texts(blocks):
    content = page.as_page(HOSTILE, blocks, facts=[(HOSTILE, HOSTILE)])
    assert "<script" not in content and "alert('x')" not in content
    assert content.count("&lt;script&gt;") == 10
    assert content.count("<hr>") == 1 and "<h1>" in content and "Attacks" not in content
    # Nothing is loaded from elsewhere.
    sources = re.findall(r'(?:src|href)="([^"]*)"', content)
    assert sources == ["data:,", page.data_uri(PNG, "image/png")]
    assert "url(" not in content and "@import" not in content


def test_parts_of_a_card_are_escaped():
    ticks = {"seconds": [(0.0, "0"), (0.5, HOSTILE)], "hz": [(0.9, HOSTILE)]}
    parts = [
        page.card(HOSTILE, [(HOSTILE, HOSTILE)], ""),
        page.side_by_side([(HOSTILE, HOSTILE, "")]),
        page.player(b"RIFF", HOSTILE),
        page.plot(PNG, HOSTILE, **ticks),
        page.scale(["#000000", "#ffffff"], HOSTILE, HOSTILE),
    ]
    for part in parts:
        assert "<script" not in part and "&lt;script&gt;" in part
    assert 'preload="metadata"' in parts[2] and "controls" in parts[2]
    assert page.below("") == ""


def test_the_last_tick_has_the_unit():
    text = page.plot(
        PNG, "a", seconds=[(0.0, "0"), (0.9, "1.2")], hz=[(1.0, "8000"), (0.0, "0")]
    )
    assert "8000 Hz</span>" in text and "1.2 s</span>" in text
    assert text.count(" Hz<") == text.count(" s<") == 1
