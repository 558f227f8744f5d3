// libFuzzer: MADs from the input, one after the other, at a Manager with a listener and a connection in any state.
// Input: the state (1 byte), MADs.
#include <cstring>

#include "base/assert.hpp"
#include "cm/test_script.hpp"

using namespace hawser;
using namespace hawser::cm;

namespace {

constexpr std::array states{"IDLE",         "REQ_SENT",      "MRA_REQ_RCVD",  "REP_RCVD",
                            "MRA_REP_SENT", "ESTABLISHED_A", "REQ_RCVD",      "MRA_REQ_SENT",
                            "REP_SENT",     "MRA_REP_RCVD",  "ESTABLISHED_P", "DREQ_SENT",
                            "DREQ_RCVD",    "TIMEWAIT",      "SIDR_REQ_SENT", "SIDR_REQ_RCVD"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Script s;
  s.bring_to(states[data[0] % states.size()]);
  std::set<Connection*> born;
  const auto listener = *s.us.manager.listen(nullptr, test_service, [&](Connection& c, const Event& event) {
    if (event.kind == EventKind::req_received || event.kind == EventKind::sidr_req_received) born.insert(&c);
    return 0;
  });
  for (std::size_t at = 1; at < size; at += verbs::mad_bytes) {
    verbs::Mad mad{};
    std::memcpy(mad.data(), data + at, std::min(size - at, mad.size()));
    if (const auto message = decode(mad)) HW_ASSERT(*decode(encode(*message)) == *message, "fuzz-mad-changed");
    s.peer_sends(mad);
  }
  for (Connection* c : born) s.us.manager.destroy(c);
  if (s.connection != nullptr) s.us.manager.destroy(std::exchange(s.connection, nullptr));
  s.us.manager.unlisten(listener);
  s.net.run();
  HW_ASSERT(s.us.manager.usage() == Usage{} && s.us.ids.in_use() == 0, "fuzz-mad-left-something");
  return 0;
}
