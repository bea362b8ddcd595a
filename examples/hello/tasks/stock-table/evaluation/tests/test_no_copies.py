"""The layout is in stocktake/table.py and nowhere else."""
import ast
from pathlib import Path

TREE = ast.parse(Path("stocktake/reports.py").read_text())
FUNCTIONS = {f.name: f for f in TREE.body if isinstance(f, ast.FunctionDef)}


def names(node):
    return {n.attr if isinstance(n, ast.Attribute) else n.id for n in ast.walk(node)
            if isinstance(n, (ast.Attribute, ast.Name))}


def test_every_report_renders_its_table():
    for report in ("stock_report", "reorder_report", "supplier_report"):
        assert "render" in names(FUNCTIONS[report]), report


def test_no_layout_is_left():
    assert not names(TREE) & {"ljust", "rjust", "center", "widths"}


def test_reports_are_short():
    for name, function in FUNCTIONS.items():
        assert function.end_lineno - function.lineno < 20, name
