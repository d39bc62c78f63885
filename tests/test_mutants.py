import os

import pytest

if os.name != "posix":
    pytest.skip("mutants are forked", allow_module_level=True)

from mutants import ALIVE, ROOT, mutants


def test_each_differs_in_one_place():
    source = b'def f(a: int = 1) -> int:\n    g(max(a, 2), on=not a, strict=True)  # "\xc3\xa4"\n'
    texts = [mutant.text for mutant in mutants(source)]
    assert len(texts) == len(set(texts)) == 6
    assert "def f(a: int = (2)) -> int:" in texts
    assert "without g(max(a, 2), on=not a, strict=True)" in texts
    assert 'g(max(a, (3)), on=not a, strict=True) # "ä"' in texts
    for mutant in mutants(source):
        compile(mutant.source, "", "exec")


def test_what_is_explained_is_there():
    for module, lines in ALIVE.items():
        there = {mutant.text for mutant in mutants((ROOT / "vidcaption" / module).read_bytes())}
        assert not lines.keys() - there, module
