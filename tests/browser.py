"""Pages as a headless Chromium sees them."""

import html
import json
import pathlib
import re
import shutil
import subprocess

import pytest

# Errors are caught from the first line of the page on, those of pictures included.
_CATCH = """<script>
const errors = [];
addEventListener(
  'error', e => errors.push(String(e.message || e.target.tagName)), true);
console.error = (...texts) => errors.push(texts.join(' '));
</script>"""
_LOOK = """<script>
const players = [...document.querySelectorAll('audio')];
const known = p => new Promise(done => p.readyState ? done() : (
  p.addEventListener('loadedmetadata', done), p.addEventListener('error', done)));
addEventListener('load', () => Promise.all(players.map(known)).then(() => {
  const pictures = [...document.images];
  const found = document.createElement('pre');
  found.id = 'found';
  found.textContent = JSON.stringify({
    errors, title: document.title,
    durations: players.map(p => p.duration),
    widths: pictures.map(p => p.naturalWidth),
    shown: pictures.map(p => p.getBoundingClientRect().width),
    alts: pictures.map(p => p.alt),
    overflow: document.documentElement.scrollWidth - innerWidth,
    text: document.body.innerText,
  });
  document.body.append(found);
}));
</script>"""


def open_page(page: pathlib.Path, folder: pathlib.Path, width: int = 1400) -> dict:
    """Findings of Chromium on a page of that width; without Chromium the test skips.

    The copy of the page in `folder` lies in a frame: a window is at least 500 wide.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    text = page.read_text("utf-8")
    text = text.replace("<head>", f"<head>{_CATCH}", 1)
    copy = folder / "copy.html"
    copy.write_text(text.replace("</body>", f"{_LOOK}</body>", 1), "utf-8")
    framed = folder / "framed.html"
    framed.write_text(
        f'<iframe src="copy.html" style="width:{width}px;height:900px"></iframe>'
        "<script>const look = setInterval(() => {"
        "const found = frames[0].document.getElementById('found');"
        "if (found) { document.body.append(found); clearInterval(look); } }, 50);"
        "</script>"
    )
    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--allow-file-access-from-files",
            f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=60000",
            "--dump-dom", framed.as_uri(),
        ],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))
