"""One field of records as an array that stays on disk."""

import numpy as np
from jaxtyping import Int, Num

from advjax.records.schema import Source


class Column:
    """One array field of a source; indexing by rows reads these rows.

    Attributes:
        shape: of the whole array, [records, ...].
        dtype: of its entries.
    """

    def __init__(self, source: Source, field: str):
        """Read the first record, for shape and type.

        Args:
            source: returned by `read`.
            field: "audio" or, where they are stored, "features".
        """
        first = source[0][field]
        self._source, self._field = source, field
        self.shape, self.dtype = (len(source), *first.shape), first.dtype

    def __len__(self) -> int:
        """Number of records."""
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, rows: Int[np.ndarray, "rows"]) -> Num[np.ndarray, "rows ..."]:
        """The rows in this order, read from disk and checked.

        Raises:
            Damaged: a record is not the one that was written.
        """
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows.tolist()):
            found[place] = self._source[row][self._field]
        return found

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """The whole array in memory."""
        del copy  # Every read makes a copy.
        return self[np.arange(len(self))].astype(dtype or self.dtype, copy=False)
