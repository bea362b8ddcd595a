from stocktake.stock import load, money

LINES = ["sku,name,supplier,quantity,minimum,price", "B2,Bolt M8,Hallway,120,200,0.35", "A1,Anvil,Forge & Co,2,1,149.9"]


def test_load_keeps_the_order_and_reads_prices_in_cents():
    items = load(LINES)
    assert [item.sku for item in items] == ["B2", "A1"]
    assert [item.cents for item in items] == [35, 14990]
    assert items[0].value == 4200


def test_money():
    assert money(5) == "0.05"
    assert money(14990) == "149.90"
