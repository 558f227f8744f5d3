#!/usr/bin/env python3
"""spec_check can fail: each kind of violation is planted and found."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import spec_check

SPECIFICATION = """# 1. One
## 1.1 Rules
- **1.1.1** first
- **1.1.2** second
- **1.1.3** third
  *(open: nobody has
  looked)*
## 1.2 More
| rule | says |
|---|---|
| **1.2.1** | a row *(not RoCE: iWARP)* |
- **1.2 I1** an invariant
# 4. Mistakes
- **4 #1** one
- **4 #2** two
"""
ALL = "[spec 1.1.1-1.1.2, 1.2 I1] [spec 4 #1, #2]"


class SpecCheckTest(unittest.TestCase):
    def messages(self, code=ALL, test=ALL, specification=SPECIFICATION):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("docs/specification.md", specification), ("src/room/a.cpp", f"// {code}\n"),
                               ("src/room/a_test.cpp", f"// {test}\n")):
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            violations, found, _ = spec_check.check(folder)
            self.excused = found.excused
            return [message for _, _, message in violations]

    def test_nothing_is_found_where_all_is_cited(self):
        self.assertEqual(self.messages(), [])
        self.assertEqual(self.excused, {"1.1.3": ("open", "nobody has looked"), "1.2.1": ("not RoCE", "iWARP")})

    def test_a_rule_that_no_code_cites(self):
        self.assertEqual(self.messages(code="[spec 1.1.2, 1.2 I1, 4 #1-4 #2]"), ["no code cites rule 1.1.1"])

    def test_a_rule_that_no_test_asserts(self):
        self.assertEqual(self.messages(test="[spec 1.1.1, 1.1.2, 1.2 I1, 4 #2]"), ["no test asserts rule 4 #1"])

    def test_a_rule_that_nobody_cites(self):
        self.assertEqual(self.messages(code="[spec 1.1.1-1.1.2, 4 #1, #2]", test="[spec 1.1.1-1.1.2, 4 #1, #2]"),
                         ["no code cites and no test asserts rule 1.2 I1"])

    def test_a_section_counts_for_no_rule(self):
        self.assertIn("no code cites rule 1.1.1", self.messages(code="[spec 1.1] [spec 1.2 I1, 4 #1, #2]"))

    def test_a_citation_may_be_broken_across_lines(self):
        self.assertEqual(self.messages(code="[spec 1.1.1,\n  //   1.1.2, 1.2\n// I1, 4 #1,\n// #2]"), [])

    def test_a_list_excuses_several(self):
        later = SPECIFICATION + "# 8. Not yet\n- *(open: later)* 1.1.1-1.1.2, 4 #1,\n  #2.\n"
        self.assertEqual(self.messages(code="[spec 1.2 I1]", test="[spec 1.2 I1]", specification=later), [])
        self.assertEqual(self.excused["4 #2"], ("open", "later"))
        self.assertEqual(self.messages(specification=SPECIFICATION + "- *(open: never)* 1.1.9.\n"),
                         ["there is no rule 1.1.9 to excuse"])

    def test_a_citation_of_nothing(self):
        self.assertEqual(self.messages(code=ALL + " [spec 1.1.9]"), ["the specification has no rule 1.1.9"])
        self.assertEqual(self.messages(test=ALL + " [spec 4 #1-#4]"),
                         ["the specification has no rule 4 #3", "the specification has no rule 4 #4"])
        self.assertEqual(self.messages(code=ALL + " [spec 1.1.1, row destroy]"), ["'row destroy' is no citation"])

    def test_rules_that_are_written_wrong(self):
        self.assertIn("rule 1.1.1 is defined twice", self.messages(specification=SPECIFICATION + "- **1.1.1** again\n"))
        self.assertIn("rule 9.1.1 stands in no section", self.messages(specification=SPECIFICATION + "- **9.1.1** lost\n"))


if __name__ == "__main__":
    unittest.main()
