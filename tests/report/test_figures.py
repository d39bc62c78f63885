from vidcaption.report.figures import comparison_table, score_table

REPORT = {
    "dataset": "d\x1b[31m.csv",
    "split": "test",
    "samples": 12,
    "model": "mine",
    "model_sha256": "f00",
    "search": {"beam": 3, "max_words": 20},
    "frames": 8,
    "precision": "float32",
    "metrics": "pycocoevalcap 1.2",
    "scores": {"BLEU-4": 20.5, "CIDEr": 45.0},
    "distinct_captions": 0.75,
    "vocabulary_used": 34,
    "word_f1": 0.5,
    "score_pearson": None,
    "bootstrap": {"resamples": 1000, "seed": 1, "level": 0.95},
    "intervals": {
        "BLEU-4": [18.25, 22.125],
        "CIDEr": [40.0, 50.0],
        "word_f1": [0.25, 0.75],
        "score_pearson": None,
    },
}


def test_every_figure_stands_in_the_table_with_its_interval() -> None:
    assert score_table(REPORT).splitlines() == [
        "d\\u001b[31m.csv, test: 12 samples",
        "",
        "                            95% interval",
        "BLEU-4             20.50  18.25 to 22.12",
        "CIDEr              45.00  40.00 to 50.00",
        "distinct_captions  0.750",
        "vocabulary_used       34",
        "word_f1            0.500  0.250 to 0.750",
        "score_pearson       none",
        "",
        "pycocoevalcap 1.2; 1000 bootstrap resamples",
        "beam 3, max_words 20; 8 frames, float32",
        "model mine, sha256 f00",
    ]


def test_two_models_stand_side_by_side() -> None:
    other = REPORT | {"model_sha256": "bad", "scores": {"BLEU-4": 19.0}, "score_pearson": 0.25}
    rows = {
        "BLEU-4": {"difference": 1.5, "interval": [0.25, 3.0]},
        "score_pearson": {"difference": None, "interval": None},
    }
    table = comparison_table(REPORT | {"against": other, "differences": rows}, "mine", "a/b")
    assert table.splitlines() == [
        "                mine    a/b  difference   95% interval",
        "BLEU-4         20.50  19.00       1.500  0.250 to 3.00",
        "score_pearson   none  0.250        none",
        "",
        "a/b has sha256 bad; if an interval does not contain 0, the models differ on such "
        "samples with 95% confidence",
    ]
