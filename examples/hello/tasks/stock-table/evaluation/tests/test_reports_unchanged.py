from stocktake import reports
from stocktake.stock import load

HEADER = "sku,name,supplier,quantity,minimum,price"
STOCK = [HEADER, "B20,Bolt M8,Hallway,120,200,0.35", "A10,Anvil,Forge & Co,2,1,149.9",
         "C05,Chisel,Forge & Co,0,4,12.50", "B21,Bolt M10,Hallway,340,200,0.41"]


def test_stock():
    assert reports.stock_report(load(STOCK)) == (
        "SKU  Name      Quantity   Value\n"
        "---  --------  --------  ------\n"
        "A10  Anvil            2  299.80\n"
        "B20  Bolt M8        120   42.00\n"
        "B21  Bolt M10       340  139.40\n"
        "C05  Chisel           0    0.00\n"
        "     Total          462  481.20\n")


def test_reorder():
    assert reports.reorder_report(load(STOCK)) == (
        "SKU  Name     Supplier    Missing\n"
        "---  -------  ----------  -------\n"
        "B20  Bolt M8  Hallway          80\n"
        "C05  Chisel   Forge & Co        4\n")


def test_suppliers():
    assert reports.supplier_report(load(STOCK)) == (
        "Supplier    Items   Value  Share\n"
        "----------  -----  ------  -----\n"
        "Forge & Co      2  299.80  62.3%\n"
        "Hallway         2  181.40  37.7%\n")


def test_nothing_to_report():
    assert reports.reorder_report(load([HEADER])) == "Nothing to reorder.\n"
    assert reports.supplier_report([]) == "Supplier  Items  Value  Share\n--------  -----  -----  -----\n"
