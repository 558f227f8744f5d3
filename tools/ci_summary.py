#!/usr/bin/env python3
"""Adds up steps and the JUnit reports of ctest: the last line of .ci/run. Exit status 1 on any failure.

usage: ci_summary.py STEPS_PASSED STEPS_FAILED REPORT…
"""
import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def main():
    passed, failed, skipped = int(sys.argv[1]), int(sys.argv[2]), 0
    for report in map(Path, sys.argv[3:]):
        if not report.exists():
            print(f"no test ran: {report} is missing")
            failed += 1
            continue
        for case in xml.parse(report).getroot().iter("testcase"):
            status = case.get("status")
            reason = case.find("skipped")
            if status == "run":
                passed += 1
            elif status == "disabled" or (reason is not None and reason.get("message", "").startswith("SKIP_")):
                skipped += 1
                print(f"skipped: {report.stem}: {case.get('name')}")
            else:
                failed += 1  # also a test whose program was not built
                print(f"failed: {report.stem}: {case.get('name')}")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
