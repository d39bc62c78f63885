import pytest

from vidcaption.cli.bar import Bar
from vidcaption.cli.console import put, say


def test_results_stay_on_standard_output_while_a_bar_is_drawn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bar = Bar(force_terminal=True)
    with bar:
        bar.begin("clip", 10.0, lambda: 5.0)
        put("result\n")
        say("message")
    out, err = capsys.readouterr()
    assert out == "result\n"
    assert "vidcaption: message" in err and "clip" in err and "50%" in err


def test_a_bar_asks_for_its_position_and_shows_one_thing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = {"position": 0.0}
    bar = Bar(force_terminal=True)
    bar.begin("first", None, lambda: now["position"])
    bar.begin("sec\x1b[31mond [b]", 8.0, lambda: now["position"])
    for now["position"], shown in ((2.0, "25%"), (6.0, "75%")):
        bar.console.print(bar)
        err = capsys.readouterr().err
        assert shown in err and "first" not in err
        assert "sec\\u001b[31mond [b]" in err
