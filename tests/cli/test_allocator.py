"""Freed memory is kept: the second large block costs no page faults."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, resource
from xaiprune.cli.common.allocator import keep_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

def faults(size=2**28):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    libc.memset(block, 1, size)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), faults(), keep_freed_memory(), faults(), faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_a_second_block_costs_no_page_faults() -> None:
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    first, again, kept, filling, filled = ended.stdout.split()
    if kept == "False":
        pytest.skip("not glibc")
    assert min(int(first), int(again)) > 100  # huge pages make them few, not none
    assert int(filled) < min(int(first), int(again), int(filling)) / 10
