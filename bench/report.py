# SPDX-License-Identifier: MIT
"""Rows, targets, the table on standard output and the JSON document."""

import json
import statistics

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(text):
    unit = UNITS.get(text[-1:].upper())
    return int(float(text[:-1]) * unit) if unit else int(text)


def best_median(values, best=max):
    return best(values), statistics.median(values)


class Report:
    """Collects what the sections measure. A section is a title, a list of rows and their columns."""

    def __init__(self):
        self.sections = []
        self.targets = []
        self.skipped = []
        self.machine = {}

    def section(self, title, columns, note=""):
        rows = []
        self.sections.append({"title": title, "columns": columns, "note": note, "rows": rows})
        return rows

    def target(self, what, value, relation, limit, unit=""):
        """One goal; RELATION is '<=' or '>='."""
        met = value <= limit if relation == "<=" else value >= limit
        self.targets.append({"what": what, "value": round(value, 4), "relation": relation,
                             "limit": round(limit, 4), "unit": unit, "met": met})

    def skip(self, what, why):
        self.skipped.append({"what": what, "why": why})

    def print(self):
        for key, value in self.machine.items():
            print(f"{key:>14}  {value}")
        for section in self.sections:
            if section["rows"]:
                print_section(section)
        if self.targets:
            print("\nTargets")
            for t in self.targets:
                print(f"  {'met   ' if t['met'] else 'MISSED'}  {t['what']}: {t['value']:.3f} "
                      f"{t['unit']}, {t['relation']} {t['limit']:g}".replace("  ,", ","))
        for s in self.skipped:
            print(f"  not measured: {s['what']}: {s['why']}")

    def write_json(self, path):
        document = {"machine": self.machine, "sections": self.sections, "targets": self.targets,
                    "not_measured": self.skipped}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")


def cell(value):
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def print_section(section):
    columns = section["columns"]
    rows = [[cell(row.get(c)) for c in columns] for row in section["rows"]]
    widths = [max(len(c), *(len(r[i]) for r in rows)) for i, c in enumerate(columns)]
    print(f"\n{section['title']}")
    if section["note"]:
        print(f"({section['note']})")
    for line in [columns] + rows:
        first = line[0].ljust(widths[0])
        print("  " + "  ".join([first] + [v.rjust(w) for v, w in zip(line[1:], widths[1:])]))
