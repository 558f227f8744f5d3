#!/usr/bin/env python3
"""The rules of this code base that no compiler knows. Prints FILE:LINE: RULE: MESSAGE for each violation.

usage: lint.py [ROOT]        (default: the repository that this file lies in)

raw-sync    In the explored rooms every thread, mutex, atomic, clock and random number is the runtime's, or the explorer
            would not see it. Files named *_posix.cpp (not part of the explored build) and tests are free.
mutable-static
            In the same rooms no state outlives a Stack: no mutable variables of static storage.
layering    A room includes only rooms below it.
public-header
            Public headers stand by themselves: they include nothing of ours but each other.
bug-name    Names of HW_BUG and HW_ASSERT are literal, unique and kebab-case, so that a report finds its line.
sleep       Tests do not sleep: they observe.
todo        Unfinished work is an issue, not a comment.
"""
import bisect
import re
import sys
from pathlib import Path

# Bottom up; rooms in one line are beside each other and do not know each other.
ROOMS = [["base"], ["runtime"], ["fabric"], ["roce"], ["capture"], ["verbs"], ["addr"], ["cm"], ["cma"], ["ucm"],
         ["agent"], ["stack"], ["abi", "api", "cli"]]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
# capture lies beside roce: it reads packets with roce's code, and no room but cli needs it.
CAPTURE_USERS = {"capture", "cli"}
EXPLORED = {"ucm", "cma", "cm", "addr"}
EXEMPT = {
    # A seqlock in memory that another process reads: no interleaving of ours to explore.
    ("raw-sync", "src/cm/ledger.hpp"),
}

RAW_SYNC = re.compile(
    r"\bstd::(?:atomic\w*|(?:\w+_)?mutex|j?thread|this_thread|condition_variable\w*|(?:lock|shared)_guard|scoped_lock|"
    r"(?:unique|shared)_lock|call_once|once_flag|async|future|promise|counting_semaphore|binary_semaphore|latch|barrier|"
    r"random_device|chrono::(?:steady|system|high_resolution)_clock::now)\b|\bthread_local\b|\bpthread_\w+|"
    r"\b(?:steady|system)_clock::now\b|\b__(?:atomic|sync)_\w+|"
    r"\b(?:clock_gettime|gettimeofday|getrandom|usleep|nanosleep)\s*\(|(?<![\w.>:])(?:rand|sleep)\s*\(|"
    r"\bsleep_(?:for|until)\b")
RAW_SYNC_INCLUDE = re.compile(r'#\s*include\s*<(atomic|mutex|shared_mutex|thread|condition_variable|future|pthread\.h)>')
SLEEP = re.compile(r"\bthis_thread::sleep_(?:for|until)\b|\b(?:usleep|nanosleep)\s*\(|(?<![\w.>:])sleep\s*\(")
# `static` or `inline`, then up to the initializer or the end of the declaration no parenthesis (a function has one).
STATIC = re.compile(r"^[ \t]*(?:static|inline static|static inline|inline)\s+(?P<declaration>[^(){};=]+)(?=[;={])", re.M)
# Our namespaces are not indented: what starts in the first column and is no definition of something else is a variable.
GLOBAL = re.compile(
    r"^(?!using\b|namespace\b|class\b|struct\b|enum\b|union\b|template\b|typedef\b|extern\b|friend\b|static\b|inline\b|"
    r"return\b|case\b|default\b|public\b|private\b|protected\b|concept\b|constexpr\b|const\b|else\b)"
    r"(?P<declaration>[A-Za-z_][\w:<>,*& \t]*[ \t*&>]\w+)\s*(?=;|=[^=]|\{[^{}\n]*\};)", re.M)
CONSTANT = re.compile(r"\b(?:const|constexpr|consteval|namespace|using|struct|class|enum)\b")
BUG = re.compile(r"\bHW_(BUG|ASSERT)\s*\(")
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"/]+)/[^"]*"', re.M)
TODO = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.S)


def blank(match, keep_strings):
    token = match.group(0)
    if keep_strings and token[0] not in "/":
        return token
    return re.sub(r"[^\n]", " ", token)


class Source:
    """One file, with its comments (and, in `code`, its literals) blanked; positions are those of the file."""

    def __init__(self, root, path):
        self.path = path.relative_to(root)
        self.raw = path.read_text(encoding="utf-8", errors="replace")
        self.with_strings = TOKENS.sub(lambda m: blank(m, True), self.raw)
        self.code = TOKENS.sub(lambda m: blank(m, False), self.raw)
        self.newlines = [m.start() for m in re.finditer("\n", self.raw)]
        parts = self.path.parts
        self.room = parts[1] if parts[0] == "src" and len(parts) > 2 else None
        self.is_test = (parts[0] == "tests" or self.path.stem.endswith(("_test", "_fuzzer")) or
                        self.path.stem.startswith("fake_") or "fake" in parts)

    def line(self, position):
        return bisect.bisect_left(self.newlines, position) + 1


def raw_sync(source):
    if source.room not in EXPLORED or source.is_test or source.path.stem.endswith("_posix"):
        return
    for match in RAW_SYNC.finditer(source.code):
        yield match.start(), f"'{match.group(0).strip('( ')}' in an explored room: use hawser::rt"
    for match in RAW_SYNC_INCLUDE.finditer(source.code):
        yield match.start(), f"<{match.group(1)}> in an explored room: use runtime/sync.hpp"


def mutable_static(source):
    if source.room not in EXPLORED or source.is_test or source.path.stem.endswith("_posix"):
        return
    for pattern in (STATIC, GLOBAL):
        for match in pattern.finditer(source.code):
            declaration = " ".join(match.group("declaration").split())
            if not CONSTANT.search(declaration) and "operator" not in declaration:
                yield match.start("declaration"), f"mutable variable of static storage: '{declaration}'"


def layering(source):
    if source.room is None:
        return
    if source.room not in LEVEL:
        yield 0, f"room '{source.room}' has no place in the order of rooms (tools/lint.py)"
        return
    for match in INCLUDE.finditer(source.with_strings):
        other = match.group(1)
        if other not in LEVEL or other == source.room:
            continue
        if LEVEL[other] >= LEVEL[source.room]:
            yield match.start(1), f"'{source.room}' may not include '{other}': dependencies point down"
        elif other == "capture" and source.room not in CAPTURE_USERS and not source.is_test:
            yield match.start(1), f"'{source.room}' may not include 'capture'"


def public_header(source):
    if source.path.parts[:2] != ("include", "hawser"):
        return
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', source.with_strings, re.M):
        if not re.fullmatch(r"hawser/\w+\.hpp|[a-z_]+|sys/\w+\.h|netinet/\w+\.h", match.group(1)):
            yield match.start(1), f"a public header may not include '{match.group(1)}'"


def arguments(text, start):
    """The text between the parenthesis before `start` and its partner (literals do not count)."""
    depth, position = 1, start
    for match in re.finditer(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|[()]', text[start:]):
        depth += {"(": 1, ")": -1}.get(match.group(0), 0)
        position = start + match.start()
        if depth == 0:
            break
    return text[start:position]


def bug_names(source):
    """(position, name or None if it is not a literal) of each HW_BUG and HW_ASSERT."""
    for match in BUG.finditer(source.with_strings):
        line_start = source.with_strings.rfind("\n", 0, match.start()) + 1
        if source.with_strings[line_start:match.start()].lstrip().startswith("#"):
            continue  # the macro's own definition
        last = re.search(r'"([^"]*)"\s*\Z', arguments(source.with_strings, match.end()))
        yield match.start(), last.group(1) if last else None


def sleep(source):
    if source.is_test:
        for match in SLEEP.finditer(source.code):
            yield match.start(), "a test that sleeps hopes; wait for what is to happen"


def todo(source):
    for match in TODO.finditer(source.raw):
        yield match.start(), f"'{match.group(0)}': make it an issue"


RULES = {"raw-sync": raw_sync, "mutable-static": mutable_static, "layering": layering, "public-header": public_header, "sleep": sleep, "todo": todo}


def lint(root):
    """All violations below `root`: (path, line, rule, message)."""
    root = Path(root).resolve()
    files = [path for folder in ("src", "include", "tests", "bench", "examples") for suffix in ("hpp", "cpp", "c", "h")
             for path in sorted((root / folder).rglob(f"*.{suffix}"))]
    found, names = [], {}
    for source in (Source(root, path) for path in files):
        for rule, check in RULES.items():
            if (rule, source.path.as_posix()) in EXEMPT:
                continue
            found += [(source.path, source.line(at), rule, message) for at, message in check(source)]
        for at, name in bug_names(source) if not source.is_test else ():
            where = (source.path, source.line(at))
            if name is None:
                found.append((*where, "bug-name", "the name must be a literal, the last argument"))
            elif not NAME.fullmatch(name):
                found.append((*where, "bug-name", f"'{name}' is not kebab-case of two words or more"))
            elif name in names:
                found.append((*where, "bug-name", f"'{name}' is taken by {names[name][0]}:{names[name][1]}"))
            else:
                names[name] = where
    return found


def main():
    found = lint(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent)
    for path, line, rule, message in found:
        print(f"{path}:{line}: {rule}: {message}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
