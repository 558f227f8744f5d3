// libFuzzer entry: MADs from the input, one after the other, at a Manager with a listener and an active connection.
//   clang++ -fsanitize=fuzzer,address … src/cm/mad_fuzzer.cpp
#include <cstring>

#include "cm/test_script.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hawser;
  using namespace hawser::cm;
  Script s;
  s.bring_to("REQ_SENT");
  std::set<Connection*> born;
  const auto listener = *s.us.manager.listen(nullptr, test_service, [&](Connection& c, const Event& event) {
    if (event.kind == EventKind::req_received || event.kind == EventKind::sidr_req_received) born.insert(&c);
    return 0;
  });
  for (std::size_t at = 0; at < size; at += verbs::mad_bytes) {
    verbs::Mad mad{};
    std::memcpy(mad.data(), data + at, std::min(size - at, mad.size()));
    if (const auto message = decode(mad)) {
      if (*decode(encode(*message)) != *message) std::abort();
    }
    s.peer_sends(mad);
  }
  for (Connection* c : born) s.us.manager.destroy(c);
  s.us.manager.destroy(std::exchange(s.connection, nullptr));
  s.us.manager.unlisten(listener);
  s.net.run();
  if (s.us.manager.usage() != Usage{} || s.us.ids.in_use() != 0) std::abort();
  return 0;
}
