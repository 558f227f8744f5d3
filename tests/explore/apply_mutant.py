#!/usr/bin/env python3
"""usage: apply_mutant.py ROOT PATCH COPY

Copies the files that PATCH touches from the repository ROOT to the folder COPY and applies it there, exactly: the text
that the patch removes and its context must be in the source as they are (lines may have moved). Fails otherwise."""
import re
import sys
from pathlib import Path


def hunks_by_file(patch):
    """{path: [(first line, old lines, new lines), …]}"""
    files = {}
    hunks = None
    old = new = None
    for line in patch.splitlines():
        if line.startswith("+++ b/"):
            hunks = files.setdefault(line[6:].split("\t")[0].strip(), [])
            old = new = None
        elif line.startswith(("--- ", "diff ", "index ")):
            old = new = None
        elif match := re.match(r"@@ -(\d+)", line):
            old, new = [], []
            hunks.append((int(match.group(1)) - 1, old, new))
        elif old is not None and line[:1] in (" ", "-", "+", ""):
            if line[:1] != "+":
                old.append(line[1:])
            if line[:1] != "-":
                new.append(line[1:])
    return files


def apply(text, hunks):
    lines = text.split("\n")
    shift = 0
    for first, old, new in hunks:
        if not old:
            raise ValueError("a hunk has no context")
        places = [i for i in range(len(lines) - len(old) + 1) if lines[i:i + len(old)] == old]
        if not places:
            raise ValueError("this text is not there any more:\n" + "\n".join(old))
        at = min(places, key=lambda place: abs(place - first - shift))
        lines[at:at + len(old)] = new
        shift += len(new) - len(old)
    return "\n".join(lines)


def main():
    root, patch_path, copy = map(Path, sys.argv[1:])
    files = hunks_by_file(patch_path.read_text(encoding="utf-8"))
    for path, hunks in files.items():
        try:
            changed = apply((root / path).read_text(encoding="utf-8"), hunks)
        except (OSError, ValueError) as error:
            sys.exit(f"{patch_path}: does not apply to {path}: {error}\n"
                     "The code has changed under the mutant: plant the same mistake in the new code.")
        target = copy / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(changed, encoding="utf-8")


if __name__ == "__main__":
    main()
