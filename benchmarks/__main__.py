"""`make bench`: every promised figure, measured now, as a table.  Exit status 1 when one is missed."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import create, messaging, read, size, telemetry
from benchmarks.stack import running

OF_A_STACK = ("create", "read", "messaging", "size")
PARTS = (*OF_A_STACK, "telemetry")


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the median is shown")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this part")
    parser.add_argument("--zaqar", type=Path, metavar="PYTHON", help="measure a Zaqar beside our messaging (benchmarks/zaqar.py)")
    options = parser.parse_args()
    parts = options.only or PARTS
    found: list[tuple[str, str, str, bool]] = []
    if set(parts) & set(OF_A_STACK):
        with running() as stack:
            if "create" in parts:
                found += create.rows(stack, options.runs)
            if "read" in parts:
                found += read.rows(stack)
            if "messaging" in parts:
                found += messaging.rows(stack, options.zaqar)
            if "size" in parts:
                found += size.rows(stack, options.runs)
    if "telemetry" in parts:
        found += telemetry.rows()
    table = Table("measure", "now", "goal", title=f"medians of {options.runs}")
    for what, now, goal, met in found:
        table.add_row(what, now, goal if met else f"[red]{goal}  missed[/red]")
    Console().print(table)
    return 0 if all(met for *_, met in found) else 1


if __name__ == "__main__":
    sys.exit(main())
