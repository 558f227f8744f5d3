#!/usr/bin/env python3
"""usage: check_mutant.py [--row] PATCH ORIGINAL MUTANT

Explores the scenarios that the head of PATCH names, with its strategy, in both programs. Passes if
  - ORIGINAL is clean within the bounds, from the same seeds;
  - MUTANT is clean in the schedule without preemptions, the one that an ordinary test runs, unless the head says
    "Race: no": that mistake needs no race, only somebody who tries everything;
  - MUTANT has a finding that matches, which its own replay line then reproduces. "Finds: crash" and "Finds: abort" are for
    a mutant that uses a wild pointer, or that a library catches in the act.
--row prints a line of the table of `make explore` instead of what was run."""
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

FOUND = 3  # exit status, see main.cpp
INCOMPLETE = 4
CRASHES = {"crash": -signal.SIGSEGV, "abort": -signal.SIGABRT}


def head(patch):
    fields = {}
    for line in patch.splitlines():
        if line.startswith("--- "):
            break
        if match := re.match(r"(Mutant|Scenario|Strategy|Runs|Race|Finds): (.*)", line):
            fields[match.group(1)] = match.group(2).strip()
    for field in ("Mutant", "Scenario", "Strategy", "Finds"):
        if field not in fields:
            sys.exit(f"the head of the patch has no \"{field}:\" line")
    return fields


def explore(program, arguments):
    result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def check_without_preemptions(mutant, fields):
    status, output = explore(mutant, ["--scenario", fields["Scenario"], "--strategy", "dfs:0", "--runs", "1"])
    if status not in (0, INCOMPLETE):
        sys.exit(f"no race: found in the schedule without preemptions (exit status {status}):\n{output[-3000:]}")


def check_crash(mutant, expected, output, status):
    at = re.search(r"^schedule: (\S+)\nseed: (\d+)\nscenario: (\S+)$", output, re.M)
    if status != expected or not at:
        sys.exit(f"the mutant did not crash as it should (exit status {status})")
    schedule, seed, scenario = at.groups()
    again, output = explore(mutant, ["--scenario", scenario, "--seed", seed, "--replay", schedule])
    if again != expected:
        sys.exit(f"the replay did not crash (exit status {again}):\n{output}")
    return seed


def check_found(mutant, finds, output, status):
    if status != FOUND:
        sys.exit(f"the mutant was not found (exit status {status})")
    found = re.search(r"FOUND .*", output).group(0)
    if not re.search(finds, found):
        sys.exit(f"something else was found than \"{finds}\": {found}")
    again = re.search(r"^replay: +hawser-explore (.*)$", output, re.M)
    status, repeated = explore(mutant, shlex.split(again.group(1)))
    if status != FOUND or found not in repeated:
        sys.exit(f"the replay found something else:\n{repeated}")
    return re.search(r"--seed (\d+)", again.group(1)).group(1)


def total(output):
    match = re.search(r"^total: (\d+) scenarios, (\d+) schedules", output, re.M)
    return match.group(2) if match else "?"  # a crash takes the count along


def main():
    row = sys.argv[1] == "--row"
    patch, original, mutant = sys.argv[-3:]
    fields = head(Path(patch).read_text(encoding="utf-8"))
    arguments = ["--scenario", fields["Scenario"], "--strategy", fields["Strategy"]]
    if "Runs" in fields:
        arguments += ["--runs", fields["Runs"]]

    status, output = explore(original, arguments)
    if not row:
        print(f"--- unchanged ---\n{output}")
    if status != 0:
        sys.exit("the unchanged sources are not clean")
    if fields.get("Race") != "no":
        check_without_preemptions(mutant, fields)
    status, output = explore(mutant, arguments + ["--stop"])
    if not row:
        print(f"--- mutant: {fields['Mutant']} ---\n{output}")
    if fields["Finds"] in CRASHES:
        seed = check_crash(mutant, CRASHES[fields["Finds"]], output, status)
    else:
        seed = check_found(mutant, fields["Finds"], output, status)
    if row:
        print(f"{Path(patch).stem:34} {total(output):>9} {seed:>6}  {fields['Mutant']}")


if __name__ == "__main__":
    main()
