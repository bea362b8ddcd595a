"""The three reports. Each returns text that ends in a newline."""
from .stock import money


def stock_report(items):
    headers = ["SKU", "Name", "Quantity", "Value"]
    rows = []
    for item in sorted(items, key=lambda item: item.sku):
        rows.append([item.sku, item.name, str(item.quantity), money(item.value)])
    rows.append(["", "Total", str(sum(i.quantity for i in items)), money(sum(i.value for i in items))])
    widths = []
    for column in range(len(headers)):
        width = len(headers[column])
        for row in rows:
            if len(row[column]) > width:
                width = len(row[column])
        widths.append(width)
    text = ""
    text += headers[0].ljust(widths[0]) + "  "
    text += headers[1].ljust(widths[1]) + "  "
    text += headers[2].rjust(widths[2]) + "  "
    text += headers[3].rjust(widths[3]) + "\n"
    text += "  ".join("-" * width for width in widths) + "\n"
    for row in rows:
        text += row[0].ljust(widths[0]) + "  "
        text += row[1].ljust(widths[1]) + "  "
        text += row[2].rjust(widths[2]) + "  "
        text += row[3].rjust(widths[3]) + "\n"
    return text


def reorder_report(items):
    headers = ["SKU", "Name", "Supplier", "Missing"]
    rows = []
    for item in sorted(items, key=lambda item: item.quantity - item.minimum):
        if item.quantity < item.minimum:
            rows.append([item.sku, item.name, item.supplier, str(item.minimum - item.quantity)])
    if not rows:
        return "Nothing to reorder.\n"
    widths = []
    for column in range(len(headers)):
        width = len(headers[column])
        for row in rows:
            if len(row[column]) > width:
                width = len(row[column])
        widths.append(width)
    text = ""
    text += headers[0].ljust(widths[0]) + "  "
    text += headers[1].ljust(widths[1]) + "  "
    text += headers[2].ljust(widths[2]) + "  "
    text += headers[3].rjust(widths[3]) + "\n"
    text += "  ".join("-" * width for width in widths) + "\n"
    for row in rows:
        text += row[0].ljust(widths[0]) + "  "
        text += row[1].ljust(widths[1]) + "  "
        text += row[2].ljust(widths[2]) + "  "
        text += row[3].rjust(widths[3]) + "\n"
    return text


def supplier_report(items):
    headers = ["Supplier", "Items", "Value", "Share"]
    suppliers = {}
    for item in items:
        count, value = suppliers.get(item.supplier, (0, 0))
        suppliers[item.supplier] = (count + 1, value + item.value)
    total = sum(value for _, value in suppliers.values())
    rows = []
    for name, (count, value) in sorted(suppliers.items(), key=lambda pair: (-pair[1][1], pair[0])):
        share = f"{100 * value / total:.1f}%" if total else "-"
        rows.append([name, str(count), money(value), share])
    widths = []
    for column in range(len(headers)):
        width = len(headers[column])
        for row in rows:
            if len(row[column]) > width:
                width = len(row[column])
        widths.append(width)
    text = ""
    text += headers[0].ljust(widths[0]) + "  "
    text += headers[1].rjust(widths[1]) + "  "
    text += headers[2].rjust(widths[2]) + "  "
    text += headers[3].rjust(widths[3]) + "\n"
    text += "  ".join("-" * width for width in widths) + "\n"
    for row in rows:
        text += row[0].ljust(widths[0]) + "  "
        text += row[1].rjust(widths[1]) + "  "
        text += row[2].rjust(widths[2]) + "  "
        text += row[3].rjust(widths[3]) + "\n"
    return text
