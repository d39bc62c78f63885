from vidcaption.cli.scores import score_table

REPORT = {
    "dataset": "d\x1b[31m.csv",
    "split": "test",
    "samples": 12,
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
        "model f00",
    ]
