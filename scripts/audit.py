#!/usr/bin/env python3
"""Ask for known vulnerabilities of everything installed: `make audit`.

pip-audit leaves out what the audit service does not know and is content if that is everything;
this is not. It fails where nothing was audited, or where something was found that is not explained.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

EXPLAINED: dict[str, str] = {}
"""By the number of a finding, why it does not concern facesketch."""


def main() -> int:
    """Run pip-audit and say what came of it; 0 if all is well."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"The audit failed, and nothing was audited: {last}", file=sys.stderr)
        return 1
    return judge(packages)


def judge(packages: list[dict[str, Any]]) -> int:
    """Say what was audited and found; 0 if all is well."""
    audited = [package for package in packages if "skip_reason" not in package]
    skipped = sorted(package["name"] for package in packages if "skip_reason" in package)
    if not audited:
        print(
            f"No package was audited: the audit service knows none of the {len(skipped)} that are "
            "installed. Behind a mirror it may be out of reach; run it where PyPI answers.",
            file=sys.stderr,
        )
        return 1
    found = [
        (package["name"], package["version"], finding["id"], finding.get("fix_versions", []))
        for package in audited
        for finding in package["vulns"]
    ]
    for name, version, number, fixes in found:
        why = EXPLAINED.get(number, f"NOT EXPLAINED; fixed in {', '.join(fixes) or 'no version'}")
        print(f"{name} {version}: {number}: {why}")
    print(f"{len(audited)} packages were audited; not {', '.join(skipped) or 'left out any'}.")
    return int(any(number not in EXPLAINED for _, _, number, _ in found))


if __name__ == "__main__":
    sys.exit(main())
