import sys

from . import reports
from .stock import load

REPORTS = {"stock": reports.stock_report, "reorder": reports.reorder_report,
           "suppliers": reports.supplier_report}


def main(argv):
    if len(argv) != 3 or argv[2] not in REPORTS:
        print(f"usage: stocktake FILE {'|'.join(REPORTS)}", file=sys.stderr)
        return 2
    with open(argv[1], newline="", encoding="utf-8") as lines:
        print(REPORTS[argv[2]](load(lines)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
