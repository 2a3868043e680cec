import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.io import wavfile

from advjax.representations import Waveform
from experiments.lab import wav_pairs
from experiments.lab.audio import read_wav, write_wav

STEP = 1 / 32768
LABELS = ("low", "high", "loud")


def logits(limit, wave):
    """High where the mean is above the limit, loud where it is above a half."""
    mean = jnp.mean(wave)
    return jnp.stack([limit - mean, mean - limit, 100 * (mean - 0.5)])


def save(tmp_path, adversarial, *, limit=0.0, **options):
    options = {"id": "a/1", "label": 0} | options
    return wav_pairs.save_pair(
        tmp_path / "example0",
        np.full(64, -STEP, np.float32),
        np.float32(adversarial),
        types.SimpleNamespace(
            representation=Waveform(),
            labels=LABELS,
            logits_fn=lambda at, precision: jax.tree_util.Partial(
                logits, np.float32(limit)
            ),
        ),
        **options,
    )


def test_what_rounding_undoes_is_told_and_not_written(tmp_path):
    # Beyond the limit of half a step, and back again when it is rounded.
    wave, limit = np.full(64, -0.6 * STEP), -0.8 * STEP
    pair = save(tmp_path, wave, limit=limit)
    assert (pair.fools, pair.file, pair.snr_db) == ("no", "", np.inf)
    assert (pair.clean, pair.adversarial) == ("low", "low")
    assert not list(tmp_path.iterdir())
    assert "would be identical" in wav_pairs.in_words(pair)

    kept = save(tmp_path, wave, limit=limit, audio_format="float32")
    assert (kept.fools, kept.adversarial) == ("yes", "high")
    np.testing.assert_array_equal(read_wav(tmp_path / kept.file), np.float32(wave))
    assert "still fools as float32" in wav_pairs.in_words(kept)
    text = wav_pairs.still_fooling([pair, kept])
    assert text == "0 of 1 as pcm16, 1 of 1 as float32"
    assert wav_pairs.still_fooling([kept]) == "1 of 1"
    assert wav_pairs.still_fooling([]) == ""


def test_a_pair_that_rounding_moves_back_over_the_boundary_no_longer_fools(tmp_path):
    wave = np.where(np.arange(64) < 32, -0.6 * STEP, -0.3 * STEP)
    pair = save(tmp_path, wave, limit=-0.48 * STEP)
    assert pair.fools == "no" and pair.file == "example0_adversarial.wav"
    assert "NO LONGER FOOLS" in wav_pairs.in_words(pair)
    rate, samples = wavfile.read(tmp_path / "example0_adversarial.wav")
    assert rate == 16_000 and samples.tolist() == [-1] * 32 + [0] * 32


def test_clipped_samples_are_counted_and_what_is_left_is_judged(tmp_path):
    wave = np.append(np.full(32, 3.0), np.full(32, -0.5))
    pair = save(tmp_path, wave)
    # The mean of 1.25 is loud; that of the file, clipped at full scale, is not.
    assert (pair.clipped, pair.adversarial, pair.fools) == (32, "high", "yes")
    aimed = save(tmp_path, wave, target=2)
    assert (aimed.target, aimed.adversarial, aimed.fools) == ("loud", "high", "no")


def test_a_clip_that_its_own_file_is_wrong_about_is_not_fooled(tmp_path):
    assert save(tmp_path, np.full(64, 0.1), label=2).fools == "no"


def test_the_list_of_pairs_is_read_back_and_checked(tmp_path):
    file = tmp_path / wav_pairs.EXAMPLES_FILE
    assert wav_pairs.read(file) == []
    pairs = [
        save(tmp_path, np.full(64, 0.1), id="x\ty\x1b"),
        save(tmp_path, -np.ones(64)),
    ]
    wav_pairs.write(file, pairs)
    assert wav_pairs.read(file) == pairs
    assert "\x1b" not in file.read_text()
    header, first, *_ = file.read_text().split("\n")
    for content in (
        "",
        header[3:] + "\n",
        f"{header}\n{first[:-9]}\n".replace("yes", "?"),
    ):
        file.write_text(content)
        with pytest.raises(ValueError, match="does not list WAVs"):
            wav_pairs.read(file)


def test_a_name_has_safe_characters_only_and_is_that_of_one_text():
    assert wav_pairs.safe_name("voices-00-0026@12491") == "voices-00-0026@12491"
    assert wav_pairs.safe_name("a/../b c\n*~") == "a%2F..%2Fb%20c%0A%2A%7E"
    assert wav_pairs.safe_name(".a\udcff") == "%2Ea%ED%B3%BF"
    long = [wav_pairs.safe_name("x" * 300 + end) for end in "ab"]
    assert len(set(long)) == 2 and set(map(len, long)) == {80}


def test_a_format_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(ValueError, match="pcm16 or float32"):
        write_wav(tmp_path / "a.wav", np.zeros(4), 16_000, audio_format="mp3")
