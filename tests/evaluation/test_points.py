import hashlib

import jax

from advjax import evaluation


def test_an_examples_key_is_64_bits_of_its_id():
    digest = hashlib.sha256(b"a").digest()
    expected = jax.random.key(7)
    for part in (digest[:4], digest[4:8]):
        expected = jax.random.fold_in(expected, int.from_bytes(part, "big"))
    found = evaluation.example_key(jax.random.key(7), "a")
    assert jax.random.key_data(found).tolist() == jax.random.key_data(expected).tolist()
