#!/usr/bin/env python3
"""Add up what the test runners of one CI run reported, and print it as the last line.

ci_total.py DIR FAILED_STAGES     DIR holds JUnit XML files; exits 1 if anything failed

A failed stage whose tests all passed (a linter, a build) counts as one failure: the total never
says that nothing failed when something did.
"""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def main() -> int:
    """Print what failed, then `N passed, N failed, N skipped`."""
    folder, failed_stages = Path(sys.argv[1]), int(sys.argv[2])
    tests = failed = skipped = 0
    for report in sorted(folder.glob("*.xml")):
        for suite in ET.parse(report).getroot().iter("testsuite"):
            tests += int(suite.get("tests", 0))
            failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped += int(suite.get("skipped", 0))
            for case in suite.iter("testcase"):
                for problem in (*case.iter("failure"), *case.iter("error")):
                    where = f"{case.get('classname')}::{case.get('name')}"
                    print(f"{report.stem}: {where}: {(problem.get('message') or '')[:200]!r}")
    passed = tests - failed - skipped
    failed = max(failed, failed_stages)
    if tests == 0 and failed == 0:
        print("no test ran")
        failed = 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
