// docs/states.md is made from the table of legal transitions; HAWSER_WRITE_DOCS=1 makes it anew, else it must be
// current.
#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include "cma/state.hpp"

namespace hawser::cma {
namespace {

constexpr const char* head =
    R"(# The states of an id

Made from the table of legal transitions in `src/cma/state.hpp` by `cma_test` (with `HAWSER_WRITE_DOCS=1`); a test fails
when this page is stale. An arrow has the name of the call, or of the event that tells of it;
[specification.md](specification.md), sections 1.4 and 1.5, has all of it.

```mermaid
stateDiagram-v2
  [*] --> IDLE
)";

constexpr const char* claims = R"(```

Besides, the owner may end an id in any state (→ DESTROYING, for good), and a device that goes takes its ids from any state but
DESTROYING to DEVICE_REMOVAL, which only DESTROYING follows. BINDING and RESOLVING are Hawser's own, inside of a call or a
handler: programs see them as IDLE and ADDR_QUERY.

)";

std::string diagram() {
  std::string text = head;
  std::string table = "| from | to | by | needs the handler_mutex |\n|---|---|---|---|\n";
  for (const auto& [from, to, by] : transitions) {
    text += std::string("  ") + name(from) + " --> " + name(to) + " : " + by + '\n';
    table += std::string("| ") + name(from) + " | " + name(to) + " | " + by +
             (needs_handler_mutex(from, to) ? " | yes |\n" : " | |\n");
  }
  return text + claims + table;
}

TEST(StateDiagram, IsCurrent) {  // [spec 1.2.3]
  const std::string path = HAWSER_CMA_DIR "/../../docs/states.md";
  if (std::getenv("HAWSER_WRITE_DOCS") != nullptr) std::ofstream(path) << diagram();
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(text, diagram()) << "HAWSER_WRITE_DOCS=1 cma_test --gtest_filter=StateDiagram.* makes it anew";
}

}  // namespace
}  // namespace hawser::cma
