import pytest
from absl.testing import flagsaver

from experiments.studies import image_corpora


def test_folds_with_few_clips_of_a_class_are_left_out(tmp_path):
    (tmp_path / "meta").mkdir()
    counts = {1: (5, 5), 2: (6, 5), 3: (5, 4), 4: (5, 0)}
    lines = [
        f"{fold}-{take}-A-{target}.wav,{fold},{target},c{target},{target < 2},{take},A"
        for fold, of in counts.items()
        for target, count in enumerate((*of, 5))
        for take in range(count)
    ]
    head = "filename,fold,target,category,esc10,src_file,take"
    (tmp_path / "meta/esc50.csv").write_text("\n".join([head, *lines]) + "\n")
    with flagsaver.flagsaver(esc50_dir=str(tmp_path)):
        assert image_corpora.whole_folds("esc10") == [1, 2]
        assert image_corpora.num_classes_at_hand("esc10") == 2
        assert image_corpora.num_classes_at_hand("esc50") == 3


def test_the_first_fold_is_tested_unless_flags_name_others():
    assert image_corpora.fold_names() == ["fold1"]
    with flagsaver.flagsaver(folds=["2", " 10"]):
        assert image_corpora.fold_names() == ["fold2", "fold10"]
    with (
        flagsaver.flagsaver(folds=["one"]),
        pytest.raises(ValueError, match="'one' is no number of a fold"),
    ):
        image_corpora.fold_names()
