"""What the numbers of a benchmark depend on."""

import os
import platform
from typing import Any


def computer() -> dict[str, Any]:
    """The processor, its cores, the system and Python."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
