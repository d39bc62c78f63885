"""What tests need of the processor."""

import pytest

from vidcaption.errors import DeviceError
from vidcaption.model.device import Machine
from vidcaption.options.captioning import DeviceOptions


def _has_bf16() -> bool:
    try:
        Machine.find(DeviceOptions(device="cpu", precision="bf16"))
    except DeviceError:  # no AVX-512
        return False
    return True


needs_bf16 = pytest.mark.skipif(not _has_bf16(), reason="no bf16 on this processor")
