#!/usr/bin/env python3
"""usage: check_mutant.py PATCH ORIGINAL MUTANT

Explores the scenario that the head of PATCH names, with its strategy, in both programs. Passes if ORIGINAL is clean and
MUTANT has a finding that matches, which its own replay line then reproduces. "Finds: crash" is for a mutant that uses a
null pointer, which no checker reports."""
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

FOUND = 3  # exit status, see main.cpp


def head(patch):
    fields = {}
    for line in patch.splitlines():
        if line.startswith("--- "):
            break
        if match := re.match(r"(Mutant|Scenario|Strategy|Runs|Finds): (.*)", line):
            fields[match.group(1)] = match.group(2).strip()
    for field in ("Mutant", "Scenario", "Strategy", "Finds"):
        if field not in fields:
            sys.exit(f"the head of the patch has no \"{field}:\" line")
    return fields


def explore(program, arguments):
    result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def check_crash(mutant, scenario, status, output):
    at = re.search(r"^schedule: (\S+)\nseed: (\d+)$", output, re.M)
    if status != -signal.SIGSEGV or not at:
        sys.exit(f"the mutant did not crash (exit status {status})")
    status, output = explore(mutant, ["--scenario", scenario, "--seed", at.group(2), "--replay", at.group(1)])
    if status != -signal.SIGSEGV:
        sys.exit(f"the replay did not crash (exit status {status}):\n{output}")
    return None


def main():
    patch, original, mutant = sys.argv[1:]
    fields = head(Path(patch).read_text(encoding="utf-8"))
    arguments = ["--scenario", fields["Scenario"], "--strategy", fields["Strategy"]]
    if "Runs" in fields:
        arguments += ["--runs", fields["Runs"]]

    status, output = explore(original, arguments)
    print(f"--- unchanged ---\n{output}")
    if status != 0:
        sys.exit("the unchanged sources are not clean")
    status, output = explore(mutant, arguments)
    print(f"--- mutant: {fields['Mutant']} ---\n{output}")
    if fields["Finds"] == "crash":
        return check_crash(mutant, fields["Scenario"], status, output)
    if status != FOUND:
        sys.exit(f"the mutant was not found (exit status {status})")
    if not re.search(fields["Finds"], output):
        sys.exit(f"something else was found than \"{fields['Finds']}\"")
    found = re.search(r"FOUND .*", output).group(0)
    again = re.search(r"^replay: +hawser-explore (.*)$", output, re.M)
    status, output = explore(mutant, shlex.split(again.group(1)))
    if status != FOUND or found not in output:
        sys.exit(f"the replay found something else:\n{output}")


if __name__ == "__main__":
    main()
