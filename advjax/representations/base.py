"""Base class of representations, and the definition and probe stored with records."""

import abc
import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advjax.padding import Length
from advjax.runtime import targets
from advjax.types import Bounds, Features, Source, Wave

_AT_ONCE = 8
"""Clips whose spectra stay in a CPU's cache."""


class Representation(abc.ABC):
    """One differentiable step of a front end, from the array of `source` to its own.

    Subclasses are frozen, keyword-only, final dataclasses. They are hashable, so that
    they can be static arguments of `jit` and keys of a dict. Arrays are laid out
    [frames, bins, channels]; the waveform is [time].
    """

    name: ClassVar[str]
    source: "Representation | None"

    def __post_init__(self):
        """Check the range of every number."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if isinstance(value, int) and field.type is int:
                holds, words = 1 <= value < 2**31, "1 or more, and less than 2^31"
            else:
                least = 0 if field.name in ("floor", "low_hz", "omega0") else -math.inf
                holds = math.isfinite(value) and value >= least
                words = "a finite number" + ", 0 or more" * (least == 0)
            if not holds:
                raise ValueError(f"{field.name}={value}: give {words}")

    @abc.abstractmethod
    def step(self, x: Source) -> Features:
        """This representation of one example, from the source's array."""

    def step_padded(self, x: Source, length: Length) -> tuple[Features, Length]:
        """This representation of one example padded with zeros, and its own length.

        Args:
            x: the source's array.
            length: its own length, see `advjax.padding`.

        Raises:
            ValueError: this step takes no padding.
        """
        del x, length
        raise ValueError(
            f"{self.name} takes no padded examples: give those of each length by "
            "themselves"
        )

    def inverse(self, features: Features, *, reference: Source) -> Source:
        """Array of the source, resynthesised from `features`.

        Args:
            features: an array of this representation, perhaps perturbed.
            reference: clean array of the source, which supplies what `step` discards.

        Raises:
            ValueError: this step has no inverse.
        """
        del features, reference
        raise ValueError(f"{self.name} has no inverse: choose a stage that has one")

    @property
    def bounds(self) -> Bounds:
        """Least and greatest value of an entry."""
        return (-float("inf"), float("inf"))

    @property
    def units(self) -> str:
        """Unit of an entry, in a few words for tables and figures."""
        return self.name

    def chain(self) -> tuple["Representation", ...]:
        """Every representation from the waveform to this one."""
        before = self.source.chain() if self.source is not None else ()
        return (*before, self)

    def stage(self, name: str) -> "Representation":
        """Member of the chain called `name`.

        Raises:
            ValueError: there is none; the message lists the chain.
        """
        for member in self.chain():
            if member.name == name:
                return member
        stages = ", ".join(member.name for member in self.chain())
        raise ValueError(
            f"{name!r} is no stage of {self.name}; the stages are {stages}"
        )

    def after(self, name: str) -> tuple["Representation", ...]:
        """Steps from the stage called `name` to this representation."""
        chain = self.chain()
        return chain[chain.index(self.stage(name)) + 1 :]

    def apply(self, wave: Wave) -> Features:
        """Features of one waveform, by every step of the chain in turn."""
        x = wave
        for member in self.chain():
            x = member.step(x)
        return x

    def apply_each(
        self, waves: Float[Array | np.ndarray, "batch time"]
    ) -> Float[Array, "batch *features"]:
        """Features of many waveforms: all at once or, on a CPU, in small parts.

        There frames, spectra and powers of many clips leave the cache between one
        operation and the next: by parts, mel energies of 256 clips take half as long.
        """
        if targets.on_cpu():
            return jax.lax.map(self.apply, waves, batch_size=_AT_ONCE)
        return jax.vmap(self.apply)(waves)

    @property
    def num_samples(self) -> int:
        """Samples in the waveform at the root of the chain."""
        return self.chain()[0].num_samples

    @property
    def sample_rate_hz(self) -> int:
        """Samples a second of the waveform at the root of the chain."""
        return self.chain()[0].sample_rate_hz

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one example, traced from `apply` once."""
        return _feature_shape(self)


@functools.cache
def _feature_shape(representation: Representation) -> tuple[int, ...]:
    wave = jax.ShapeDtypeStruct((representation.num_samples,), jnp.float32)
    return jax.eval_shape(representation.apply, wave).shape


def definition(representation: Representation) -> dict[str, Any]:
    """Chain as nested JSON, with every name and field, defaults included."""
    spelled: dict[str, Any] = {"name": representation.name}
    for field in dataclasses.fields(representation):
        value = getattr(representation, field.name)
        if isinstance(value, Representation):
            value = definition(value)
        spelled[field.name] = value
    return spelled


def from_definition(
    spelled: Mapping[str, Any], table: Mapping[str, type[Representation]] | None = None
) -> Representation:
    """Representation that a definition describes.

    Args:
        spelled: returned by `definition`.
        table: classes by name; default `advjax.representations.REPRESENTATIONS`.

    Raises:
        ValueError: an unknown name, or fields of another version.
    """
    if table is None:
        from advjax.representations import REPRESENTATIONS as table  # noqa: N811
    fields = dict(spelled)
    name = fields.pop("name", None)
    if name not in table:
        raise ValueError(
            f"unknown representation {name!r}; there are: {', '.join(table)}"
        )
    known = {field.name for field in dataclasses.fields(table[name])}
    if set(fields) != known:
        odd = ", ".join(sorted(set(fields) ^ known))
        raise ValueError(
            f"{name} was written by another version: its fields differ ({odd})"
        )
    return table[name](
        **{
            field: from_definition(value, table)
            if isinstance(value, Mapping)
            else value
            for field, value in fields.items()
        }
    )


def probe(representation: Representation) -> Float[np.ndarray, "16"]:
    """Sixteen values of the representation of a fixed chirp.

    The probe is stored with the definition: the definition shows other settings, the
    probe other code. The chirp rises from 50 Hz to 90 % of the Nyquist frequency with a
    growing amplitude, so that every band and frame differs.
    """
    num = representation.num_samples
    t = np.arange(num) / num
    top = 0.9 / 2 - 50 / representation.sample_rate_hz
    cycles = num * (50 / representation.sample_rate_hz * t + top * t**2 / 2)
    chirp = (0.1 + 0.8 * t) * np.sin(2 * np.pi * cycles)
    features = np.asarray(jax.jit(representation.apply)(chirp.astype(np.float32)))
    picks = np.linspace(0, features.size - 1, 16).astype(int)
    return features.ravel()[picks].astype(np.float32)
