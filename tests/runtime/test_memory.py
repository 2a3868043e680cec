import math

import pytest

from advjax.runtime.memory import free_host_memory

MEMINFO = "MemTotal: 100 kB\nMemAvailable:   64000 kB\n"


def machine(root, files):
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return free_host_memory(root)


V2 = "sys/fs/cgroup/"
V1 = "sys/fs/cgroup/memory/"


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, 64_000 * 1024),
        ({"proc/self/cgroup": "0::/\n", V2 + "memory.max": "max\n"}, 64_000 * 1024),
        (
            {
                "proc/self/cgroup": "0::/\n",
                V2 + "memory.max": "5000\n",
                V2 + "memory.current": "3000\n",
                V2 + "memory.stat": "anon 1\ninactive_file 1000\n",
            },
            3000,
        ),
        (  # The parent's limit is the tighter one.
            {
                "proc/self/cgroup": "0::/slice/job\n",
                V2 + "slice/job/memory.max": "max\n",
                V2 + "slice/job/memory.current": "10\n",
                V2 + "slice/memory.max": "900\n",
                V2 + "slice/memory.current": "400\n",
            },
            500,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/docker/abc\n1:cpu:/\n0::/\n",
                V1 + "memory.limit_in_bytes": "8000\n",
                V1 + "memory.usage_in_bytes": "7000\n",
                V1 + "memory.stat": "total_inactive_file 500\n",
            },
            1500,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/\n",
                V1 + "memory.limit_in_bytes": "9223372036854771712\n",
                V1 + "memory.usage_in_bytes": "7000\n",
            },
            64_000 * 1024,
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                V2 + "memory.max": "500\n",
                V2 + "memory.current": "600\n",
            },
            0,
        ),
    ],
)
def test_the_tightest_limit_counts(tmp_path, files, wanted):
    assert machine(tmp_path, files) == wanted


def test_where_nothing_tells_it_is_infinite(tmp_path):
    assert free_host_memory(tmp_path) == math.inf
