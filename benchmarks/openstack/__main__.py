"""`python -m benchmarks.openstack`, with COFFER_TESTBED_CLOUDS set: every figure as a table, or with --json.  Exit status 1 when one is missed."""

import argparse
import json
import os
import sys

from rich.console import Console
from rich.table import Table

from benchmarks.openstack import calls, memory, ratio
from tests.support.testbed import Bed, testbed

PARTS = ("ratio", "calls", "memory")
COLUMNS = ("measure", "now", "goal", "met")


def allow(bed: Bed) -> None:
    """No quota in the way of the service project."""
    project = bed.service.current_project_id
    bed.operator.compute.update_quota_set(project, instances=-1, cores=-1, ram=-1)
    bed.operator.block_storage.update_quota_set(project, volumes=-1, gigabytes=-1)
    bed.operator.network.update_quota(project, ports=-1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.openstack")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this part")
    parser.add_argument("--runs", type=int, default=5, help="of ratio: pairs of which the median is shown")
    parser.add_argument("--polling", action="store_true", help="of ratio: do without the notifications of Nova and Cinder")
    parser.add_argument("--creates", type=int, nargs="+", default=[10, 20, 50], help="of calls: how many at once")
    parser.add_argument("--operations", type=int, default=200, help="of memory: how many in flight")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else on stdout")
    options = parser.parse_args()
    parts = options.only or PARTS
    # The Temporal server says on stdout where it is.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    found: list[tuple[str, str, str, bool]] = []
    with testbed() as bed:
        allow(bed)
        if "ratio" in parts:
            found += ratio.rows(bed, options.runs, polling=options.polling)
        if "calls" in parts:
            found += calls.rows(bed, options.creates)
        if "memory" in parts:
            found += memory.rows(bed, options.operations)
    if options.json:
        print(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in found], indent=1), file=out)
    else:
        table = Table("measure", "now", "goal", title="on OpenStack")
        for what, now, goal, met in found:
            table.add_row(what, now, goal if met else f"[red]{goal}  missed[/red]")
        Console(file=out).print(table)
    return 0 if all(met for *_, met in found) else 1


if __name__ == "__main__":
    sys.exit(main())
