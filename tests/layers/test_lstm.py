"""The LSTM beside Flax's own."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from advjax.layers.lstm import LSTM

GATES = ("i", "f", "g", "o")


def test_states_equal_those_of_flax_with_the_same_weights():
    rng = np.random.default_rng(0)
    inputs, features = 3, 4
    params = {
        "kernel": rng.normal(size=(inputs, 4 * features)),
        "recurrent_kernel": rng.normal(size=(features, 4 * features)),
        "bias": rng.normal(size=4 * features),
    }
    params = {name: jnp.float32(leaf) for name, leaf in params.items()}
    x = jnp.float32(rng.normal(size=(2, 6, inputs)))
    theirs = {}
    for index, gate in enumerate(GATES):
        part = slice(index * features, (index + 1) * features)
        theirs[f"i{gate}"] = {"kernel": params["kernel"][:, part]}
        theirs[f"h{gate}"] = {
            "kernel": params["recurrent_kernel"][:, part],
            "bias": params["bias"][part],
        }
    rnn = nn.RNN(nn.LSTMCell(features))
    wanted = rnn.apply({"params": {"cell": theirs}}, x)
    found = LSTM(features).apply({"params": params}, x)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_states_keep_the_type_of_the_input():
    x = jnp.ones((1, 2, 3), jnp.bfloat16)
    found, _ = jax.eval_shape(LSTM(4).init_with_output, jax.random.key(0), x)
    assert (found.shape, found.dtype) == ((1, 2, 4), jnp.bfloat16)
