import numpy as np

from dashseg.peak_memory import peak_bytes


def test_memory_is_that_of_this_program() -> None:
    before = peak_bytes()
    block = np.ones(100_000_000, np.uint8)
    assert peak_bytes() >= max(before, block.nbytes) > 0
