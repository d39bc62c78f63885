import pytest
from colours import write_colours


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return write_colours(tmp_path_factory.mktemp("data"))
