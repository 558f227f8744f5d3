#!/usr/bin/env python3
"""Shows of each rule of lint.py that it can fail, and that it accepts what it should."""
import tempfile
import unittest
from pathlib import Path

from lint import lint

CLEAN = """// std::mutex is only mentioned here; HW_BUG("not-a-bug") too.
#include "base/ip.hpp"
#include "runtime/sync.hpp"
namespace hawser::cma {
inline constexpr int limit = 3;
constexpr int other{4};
static int helper(int x);
inline int twice(int x) { return 2 * x; }
const char* const text = "std::thread thread_local sleep(1)";
class Id {
 public:
  static Id make();
  static constexpr int size = 1;
  rt::Mutex mutex_;
};
template <class T>
using Alias = T;
int f(int a) { HW_ASSERT(a > 0 && g("x)"), "cma-clean"); return a; }
}
"""


class LintTest(unittest.TestCase):
    def rules(self, files):
        with tempfile.TemporaryDirectory() as root:
            for name, text in files.items():
                path = Path(root) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return [(line, rule) for _, line, rule, _ in lint(root)]

    def assert_finds(self, rule, files, count=1):
        self.assertEqual([r for _, r in self.rules(files)], [rule] * count, files)

    def test_clean_tree(self):
        self.assertEqual(self.rules({"src/cma/id.cpp": CLEAN}), [])

    def test_line_number(self):
        self.assertEqual(self.rules({"src/cm/a.cpp": "int f();\n/* a\n b */ std::mutex f(int);\n"}), [(3, "raw-sync")])

    def test_raw_sync(self):
        for text in ("std::atomic<int> f();", "void f(std::mutex&);", "std::recursive_mutex& f();", "auto f() { std::thread t(g); }",
                     "void f() { std::lock_guard l(m); }", "std::condition_variable& f();", "void f() { usleep(1); }",
                     "void f() { std::this_thread::yield(); }", "auto f() { return std::chrono::steady_clock::now(); }",
                     "std::atomic_flag& f();", "#include <mutex>", "#include <atomic>", "int f() { return rand(); }"):
            for room in ("ucm", "cma", "cm", "addr"):
                self.assert_finds("raw-sync", {f"src/{room}/a.cpp": text + "\n"})

    def test_thread_local(self):
        self.assertIn("raw-sync", [r for _, r in self.rules({"src/cma/a.hpp": "thread_local int x = 0;\n"})])

    def test_raw_sync_is_free_elsewhere(self):
        text = "#include <mutex>\nvoid f(std::mutex&);\n"
        for name in ("src/runtime/a.hpp", "src/verbs/a.hpp", "src/addr/netlink_posix.cpp", "src/cma/a_test.cpp"):
            self.assertEqual(self.rules({name: text}), [], name)

    def test_mutable_static(self):
        for text in ("static int counter = 0;", "static Table table;", "void f() {\n  static bool done{};\n}", "int counter = 0;",
                     "std::map<int, int> table;", "inline int counter = 0;", "Table table{1};", "Thing* current = nullptr;"):
            self.assert_finds("mutable-static", {"src/cm/a.cpp": text + "\n"})
            self.assertEqual(self.rules({"src/roce/a.cpp": text + "\n"}), [])

    def test_layering(self):
        for room, other in (("base", "runtime"), ("cm", "cma"), ("roce", "verbs"), ("cma", "agent"), ("abi", "cli"), ("cli", "abi"),
                            ("roce", "capture"), ("stack", "capture"), ("capture", "verbs")):
            self.assert_finds("layering", {f"src/{room}/a.cpp": f'#include "{other}/b.hpp"\n'})

    def test_layering_allows_what_is_below(self):
        for room, other in (("cma", "cm"), ("cma", "base"), ("agent", "ucm"), ("agent", "roce"), ("capture", "roce"), ("cli", "capture"),
                            ("cli", "agent"), ("cm", "cm")):
            self.assertEqual(self.rules({f"src/{room}/a.cpp": f'#include "{other}/b.hpp"\n'}), [])

    def test_room_without_a_place(self):
        self.assert_finds("layering", {"src/attic/a.cpp": "int f();\n"})

    def test_public_headers_stand_alone(self):
        for text in ('#include "base/ip.hpp"', "#include <fmt/format.h>", "#include <boost/version.hpp>"):
            self.assert_finds("public-header", {"include/hawser/a.hpp": text + "\n"})
        for text in ('#include "hawser/ip.hpp"', "#include <cstdint>", "#include <string_view>"):
            self.assertEqual(self.rules({"include/hawser/a.hpp": text + "\n"}), [])

    def test_bug_name_is_unique(self):
        self.assert_finds("bug-name", {"src/cm/a.cpp": 'void f() { HW_BUG("cm-a"); }\n',
                                       "src/verbs/b.cpp": 'void f(int x) {\n  HW_ASSERT(g(x) ==\n      h("(", x), "cm-a");\n}\n'})

    def test_bug_name_is_a_kebab_case_literal(self):
        for text in ("HW_BUG(name);", 'HW_BUG("oneword");', 'HW_BUG("Cm-Rep");', "HW_ASSERT(x, name);"):
            self.assert_finds("bug-name", {"src/cm/a.cpp": f"void f() {{ {text} }}\n"})

    def test_sleep(self):
        for text in ("sleep(1);", "usleep(5);", "std::this_thread::sleep_for(1ms);"):
            self.assert_finds("sleep", {"src/fabric/a_test.cpp": f"void f() {{ {text} }}\n"})
            self.assert_finds("sleep", {"tests/e2e/programs/a.c": f"void f() {{ {text} }}\n"})

    def test_virtual_time_may_pass(self):
        self.assertEqual(self.rules({"tests/explore/a.cpp": "void f() { execution.sleep_until(t); }\n"}), [])

    def test_fakes_are_tests(self):
        for name in ("src/ucm/fake_cma.hpp", "src/ucm/fake/cma/manager.hpp"):
            self.assertEqual(self.rules({name: "inline Manager* current = nullptr;\n"}), [])

    def test_todo(self):
        self.assert_finds("todo", {"src/abi/a.cpp": "// TODO finish\n"})


if __name__ == "__main__":
    unittest.main()
