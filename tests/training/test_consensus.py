import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcaption.training.consensus import Consensus

sentence = st.lists(st.integers(0, 5), min_size=1, max_size=9)


@given(
    st.lists(
        st.tuples(sentence, st.lists(sentence, min_size=1, max_size=4)), min_size=2, max_size=6
    )
)
def test_scores_are_those_of_pycocoevalcap(samples):
    cider = pytest.importorskip("pycocoevalcap.cider.cider")

    def text(words):
        return " ".join(f"w{word}" for word in words)

    wanted = {i: [text(words) for words in references] for i, (_, references) in enumerate(samples)}
    said = {i: [text(words)] for i, (words, _) in enumerate(samples)}
    _, expected = cider.Cider().compute_score(wanted, said)
    consensus = Consensus([references for _, references in samples])
    got = [consensus.score(i, words) for i, (words, _) in enumerate(samples)]
    assert got == pytest.approx(list(expected), abs=1e-9)
