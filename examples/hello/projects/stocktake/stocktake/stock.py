"""The stock list itself."""
import csv
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    sku: str
    name: str
    supplier: str
    quantity: int
    minimum: int
    cents: int

    @property
    def value(self):
        return self.quantity * self.cents


def load(lines):
    """Items of a CSV file, in its order."""
    items = []
    for row in csv.DictReader(lines):
        units, _, cents = row["price"].partition(".")
        items.append(Item(row["sku"], row["name"], row["supplier"], int(row["quantity"]),
                          int(row["minimum"]), int(units) * 100 + int((cents + "00")[:2])))
    return items


def money(cents):
    return f"{cents // 100}.{cents % 100:02d}"
