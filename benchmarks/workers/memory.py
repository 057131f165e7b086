# SPDX-License-Identifier: Apache-2.0
"""What a process holds."""

from pathlib import Path


def rss_mb():
    """Memory of this process now, in MB; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))
