import pytest

from stocktake.table import render


def test_alignment():
    assert render(["a", "bb"], [["xxx", "1"], ["y", "22"]], "lr") == (
        "a    bb\n---  --\nxxx   1\ny    22\n")


def test_no_rows():
    assert render(["Name", "N"], [], "ll") == "Name  N\n----  -\n"


def test_rows_are_not_changed():
    rows = [["a", "b"]]
    render(["x", "y"], rows, "ll")
    assert rows == [["a", "b"]]


@pytest.mark.parametrize("align", ["l", "lrr", "lx", ""])
def test_wrong_alignment(align):
    with pytest.raises(ValueError):
        render(["a", "b"], [["1", "2"]], align)
