#!/usr/bin/env python3
"""usage: apply_mutant.py ROOT PATCH COPY

Copies the files that PATCH touches from the repository ROOT to the folder COPY and applies it there, exactly: the text
that the patch removes and its context must be in the source as they are (lines may have moved, comments may say something
else). Fails otherwise."""
import re
import sys
from pathlib import Path


def hunks_by_file(patch):
    """{path: [(first line, [(" ", "-" or "+", text), …]), …]}"""
    files = {}
    hunks = lines = None
    for line in patch.splitlines():
        if line.startswith("+++ b/"):
            hunks = files.setdefault(line[6:].split("\t")[0].strip(), [])
            lines = None
        elif line.startswith(("--- ", "diff ", "index ")):
            lines = None
        elif match := re.match(r"@@ -(\d+)", line):
            lines = []
            hunks.append((int(match.group(1)) - 1, lines))
        elif lines is not None and line[:1] in (" ", "-", "+", ""):
            lines.append((line[:1] or " ", line[1:]))
    return files


def code(line):
    return re.sub(r"\s*//.*", "", line)


def is_comment(line):
    return line.lstrip().startswith("//")


def apply(text, hunks):
    lines = text.split("\n")
    for first, hunk in hunks:
        hunk = [(sign, line) for sign, line in hunk if sign == "+" or not is_comment(line)]
        wanted = [code(line) for sign, line in hunk if sign != "+"]
        if not wanted:
            raise ValueError("a hunk has no context")
        numbers = [i for i, line in enumerate(lines) if not is_comment(line)]
        source = [code(lines[i]) for i in numbers]
        places = [i for i in range(len(source) - len(wanted) + 1) if source[i:i + len(wanted)] == wanted]
        if not places:
            raise ValueError("this text is not there any more:\n" + "\n".join(wanted))
        at = min(places, key=lambda place: abs(numbers[place] - first))
        here = begin = numbers[at]
        new = []
        for sign, line in hunk:
            if sign == "+":
                new.append(line)
                continue
            while is_comment(lines[here]):
                new.append(lines[here])
                here += 1
            if sign == " ":
                new.append(lines[here])
            here += 1
        lines[begin:here] = new
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
