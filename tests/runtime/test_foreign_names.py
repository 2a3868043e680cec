import pytest

from advjax.runtime.foreign_names import ForeignName, parse


def test_a_network_is_named_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = parse("torch:nets/mine.py:make")
    assert found == ForeignName("torch", f"{tmp_path}/nets/mine.py", "make")
    assert found.is_file and parse(str(found)) == found
    assert parse("onnx:a:b.onnx") == ForeignName("onnx", f"{tmp_path}/a:b.onnx")
    text = "pretrained:crepe(capacity='tiny')"
    assert parse(text) == ForeignName("pretrained", text.partition(":")[2])
    package = parse("module:lab.networks:make")
    assert package.place == "lab.networks" and not package.is_file


@pytest.mark.parametrize(
    "text", ["", "runs/classifiers/a", "torch", "/a:b", "x:y.py:z"]
)
def test_other_texts_are_folders(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "torch:",
        "torch:mine.py",
        "module:a b:make",
        "onnx:",
        "pretrained:",
        "torch:mine.py:1st",
    ],
)
def test_a_name_that_is_cut_short_is_refused(text):
    with pytest.raises(ValueError, match=f"{text} names no network: write torch:PATH"):
        parse(text)
