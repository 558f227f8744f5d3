#!/usr/bin/env python3
"""Holds code and tests against docs/specification.md: every rule is cited by code and by a test, every citation names a
rule or a section that exists. Prints FILE:LINE: MESSAGE for each violation, and counts.

usage: spec_check.py [ROOT]        (default: the repository that this file lies in)

A rule is defined where a list item or a table row of the specification begins with its bold number. At its end
*(KIND: reason)* excuses it, KIND being "not RoCE", "kernel only", "by construction" or "open"; it is then listed and counted.
A list item *(KIND: reason)* NAME, NAME-NAME, …. excuses several rules at once. A citation is `[spec 1.4.7]`, `[spec 1.4.7, 1.4.9-1.4.11, 4 #26, #27]`, `[spec 3.2 I2, I3]`, or a section, which leads a
reader there and counts for no rule. What stands in a test, a fuzzer, tests/ or the table walk counts as a test's."""
import re
import sys
from pathlib import Path

SPECIFICATION = "docs/specification.md"
RULE = re.compile(r"^(?:- |\| )\*\*(?P<name>\d[^*]*)\*\*", re.M)
HEADING = re.compile(r"^#{1,3} (?P<name>\d+(?:\.\d+)*)\.? ", re.M)
KINDS = ("not RoCE", "kernel only", "by construction", "open")
LIST = re.compile(r"^- \*\((?P<kind>[^:]+): (?P<reason>[^)]+)\)\* (?P<names>[^.]*(?:\.\d[^.]*)*)\.$", re.M)
MARK = re.compile(rf"\*\((?P<kind>{'|'.join(KINDS)}): (?P<reason>[^)]+)\)\*")
CITATION = re.compile(r"\[spec\s+(?P<items>[^\]]{1,300})\]")
COMMENT_GOES_ON = re.compile(r"\n[ \t]*(?://|#|\*)?[ \t]*")  # a citation may be broken across lines
ITEM = re.compile(r"(?P<section>\d+(?:\.\d+)*)?(?: ?(?P<what>#\d+|I\d+|[A-Z]))?")
NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>\d+)")
FOLDERS = ("src", "include", "tests", "examples", "bench", "tools", "docs")
SUFFIXES = {".hpp", ".cpp", ".h", ".c", ".py", ".txt", ".patch", ".md"}


class Specification:
    def __init__(self, text):
        self.sections = {match.group("name") for match in HEADING.finditer(text)}
        self.rules, self.excused, self.errors = {}, {}, []
        found = list(RULE.finditer(text))
        for match, following in zip(found, found[1:] + [None]):
            name, line = match.group("name"), text.count("\n", 0, match.start()) + 1
            if name in self.rules:
                self.errors.append((line, f"rule {name} is defined twice"))
            if not any(self.within(name, section) for section in self.sections):
                self.errors.append((line, f"rule {name} stands in no section"))
            self.rules[name] = line
            body = re.split(r"\n(?=\n|#|- |\| )", text[match.end():following.start() if following else len(text)])[0]
            mark = MARK.search(body)
            if mark:
                self.excused[name] = (mark.group("kind"), " ".join(mark.group("reason").split()))

        for match in LIST.finditer(text):
            for item, names in names_of(" ".join(match.group("names").split())):
                for name in names or [item]:
                    self.excused.setdefault(name, (match.group("kind"), " ".join(match.group("reason").split())))
                    if name not in self.rules:
                        self.errors.append((text.count("\n", 0, match.start()) + 1, f"there is no rule {name} to excuse"))

    @staticmethod
    def within(rule, section):
        return rule.startswith((section + ".", section + " "))


def expand(item, before):
    """The names of one item of a citation: ("1.4.7-1.4.9", None) → 1.4.7, 1.4.8, 1.4.9. None if it is not one."""
    ends = []
    for end in item.split("-"):
        match = ITEM.fullmatch(end.strip())
        if not match or not (match.group("section") or match.group("what")):
            return None
        section = match.group("section") or before
        if section is None:
            return None
        what = match.group("what")
        ends.append(f"{section} {what}" if what else section)
        before = section
    if len(ends) == 1:
        return ends
    first, last = (NUMBERED.fullmatch(end) for end in ends[:2])
    if len(ends) > 2 or not first or not last or first.group("stem") != last.group("stem"):
        return None
    numbers = range(int(first.group("number")), int(last.group("number")) + 1)
    return [f"{first.group('stem')}{number}" for number in numbers] or None


def names_of(items):
    """(item, its names or None) for each item of a citation."""
    section = None
    for item in (part.strip() for part in items.split(",")):
        names = expand(item, section)
        if names:
            section = names[0].split(" ")[0]
        yield item, names


def is_test(path):
    name = path.as_posix()
    return (name.startswith("tests/") or path.stem.endswith(("_test", "_fuzzer")) or path.stem.startswith("test_") or
            path.name == "table_walk.txt")


def check(root):
    """(violations: (path, line, message), the specification, who cites: {"code": {rule}, "test": {rule}})"""
    root = Path(root).resolve()
    specification = Specification((root / SPECIFICATION).read_text(encoding="utf-8"))
    violations = [(SPECIFICATION, line, message) for line, message in specification.errors]
    cited = {"code": set(), "test": set()}
    own = {SPECIFICATION, "tools/spec_check.py", "tools/spec_check_test.py"}
    for path in sorted(p for folder in FOLDERS for p in (root / folder).rglob("*") if p.suffix in SUFFIXES):
        relative = path.relative_to(root)
        if relative.as_posix() in own or not path.is_file():
            continue
        counts = None if relative.parts[0] in ("docs", "tools") else cited["test" if is_test(relative) else "code"]
        text = COMMENT_GOES_ON.sub("\n", path.read_text(encoding="utf-8", errors="replace"))
        for citation in CITATION.finditer(text):
            line = text.count("\n", 0, citation.start()) + 1
            for item, names in names_of(" ".join(citation.group("items").split())):
                if names is None:
                    violations.append((relative, line, f"'{item}' is no citation"))
                    continue
                for name in names:
                    if name in specification.rules:
                        if counts is not None:
                            counts.add(name)
                    elif name not in specification.sections:
                        violations.append((relative, line, f"the specification has no rule {name}"))
    for name, line in specification.rules.items():
        if name in specification.excused:
            continue
        lacking = [who for who, rules in (("code cites", cited["code"]), ("test asserts", cited["test"])) if name not in rules]
        if lacking:
            violations.append((SPECIFICATION, line, f"no {' and no '.join(lacking)} rule {name}"))
    return violations, specification, cited


def main():
    violations, specification, cited = check(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent)
    for path, line, message in violations:
        print(f"{path}:{line}: {message}")
    for name, (kind, reason) in specification.excused.items():
        print(f"excused: {name}: {kind}: {reason}")
    rules = specification.rules
    both = [name for name in rules if name in cited["code"] and name in cited["test"]]
    kinds = [kind for kind, _ in specification.excused.values()]
    print(f"specification: {len(rules)} rules, {len(both)} cited by code and asserted by tests, " +
          ", ".join(f"{kinds.count(kind)} {kind}" for kind in KINDS))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
