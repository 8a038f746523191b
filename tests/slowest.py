"""Prints the slowest tests of JUnit reports: `python tests/slowest.py COUNT REPORT...`."""

import sys
from xml.etree import ElementTree

count, reports = int(sys.argv[1]), sys.argv[2:]
cases = [case for report in reports for case in ElementTree.parse(report).iter("testcase")]  # noqa: S314
print(f"\n=== the slowest {count} of {len(cases):,} tests, set-up included")
for case in sorted(cases, key=lambda case: -float(case.get("time", 0)))[:count]:
    print(f"{float(case.get('time', 0)):8.1f} s  {case.get('classname', '').replace('.', '/')}.py::{case.get('name')}")
