// Every loss pattern of the first eight messages of an attempt, seen by programs: each attempt and each connection ends
// in exactly one terminal event a side.
#include <algorithm>

#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

using namespace std::chrono_literals;
using enum EventType;
using Types = std::vector<EventType>;

// Whose messages are numbered and lost.
enum class Whose { both, client, server };

struct Case {
  Whose whose;
  QpType qp_type;
  bool accepts;
};

bool is_terminal(EventType type, QpType qp_type) {
  static const Types of_both{addr_error, route_error, unreachable, rejected, connect_error, disconnected};
  if (std::ranges::find(of_both, type) != of_both.end()) return true;
  return qp_type == QpType::ud && type == established;
}

class LossTest : public testing::TestWithParam<Case> {};

// One attempt in a world of its own: connect, half a second up, disconnect, and let go.
struct Attempt {
  Attempt(unsigned bitmap, const Case& of)
      : a(world, 1, {ethernet(2, "eth0", {"10.0.0.1"})}), b(world, 2, {ethernet(3, "eth0", {"10.0.0.2"})}) {
    world.lose = [this, bitmap, whose = of.whose](const SentMad& mad) {
      const bool of_client = mad.to.remote == *IpAddress::parse("10.0.0.2");
      if (whose != Whose::both && of_client != (whose == Whose::client)) return false;
      const unsigned number = messages++;
      return number < 8 && (bitmap >> number & 1) != 0;
    };
    const PortSpace space = of.qp_type == QpType::ud ? PortSpace::udp : PortSpace::tcp;
    TestId listener(b, space, of.qp_type), client(a, space, of.qp_type);
    listener.react = [accepts = of.accepts](Id& id, const Event& event) {
      const ConnParam param = with_qp(0x200);
      if (event.type == connect_request) return accepts ? -errno_of(id.accept(&param)) : -ECONNREFUSED;
      if (event.type == disconnected) {
        EXPECT_TRUE(id.disconnect());
      }
      return 0;
    };
    client.react = [](Id& id, const Event& event) {
      if (event.type == connect_response) {
        EXPECT_TRUE(id.accept(nullptr));
      }
      return 0;
    };
    EXPECT_TRUE(listener->bind_addr(address("10.0.0.2", 7471)));
    EXPECT_TRUE(listener->listen(1));
    EXPECT_TRUE(client->resolve_addr(nullptr, address("10.0.0.2", 7471), 2s));
    world.run();
    EXPECT_TRUE(client->resolve_route(2s));
    world.run();
    client.seen.clear();
    EXPECT_TRUE(client->connect(with_qp(0x100)));
    // The longest wait for the messages of one step: every one of eight is lost.
    world.pass(60s);
    if (of.qp_type == QpType::rc && client->state() == State::connect) {
      EXPECT_TRUE(client->disconnect());
    }
    world.pass(100s);
    active = client.types();
    for (const TestId::Seen& seen : listener.seen) {
      if (seen.type == connect_request) ++requests;
      if (seen.type != connect_request) passive.push_back(seen.type);
    }
  }

  TestWorld world;
  TestHost a, b;
  unsigned messages = 0, requests = 0;
  Types active, passive;  // passive: of the accepted id
};

TEST_P(LossTest, EndsInOneTerminalEventASide) {
  const Case& of = GetParam();
  for (unsigned bitmap = 0; bitmap < 256; ++bitmap) {
    SCOPED_TRACE(testing::Message() << "bitmap " << bitmap);
    const Attempt attempt(bitmap, of);
    const auto terminal = [&](EventType type) { return is_terminal(type, of.qp_type); };
    EXPECT_EQ(std::ranges::count_if(attempt.active, terminal), 1);
    const bool has_connection = of.qp_type == QpType::rc && of.accepts;
    EXPECT_EQ(std::ranges::count_if(attempt.passive, terminal), has_connection ? 1 : 0);
    EXPECT_GE(attempt.requests, 1U);
    if (of.accepts) {
      EXPECT_EQ(attempt.requests, 1U) << "a request that was taken is known when it is repeated";
    }
    if (has_connection) {
      EXPECT_EQ(attempt.active, (Types{connect_response, disconnected, timewait_exit}));
      EXPECT_EQ(attempt.passive.back(), timewait_exit);
    } else if (of.qp_type == QpType::ud) {
      EXPECT_EQ(attempt.active, Types{of.accepts ? established : unreachable});
      EXPECT_TRUE(attempt.passive.empty());
    } else {
      EXPECT_EQ(attempt.active, Types{rejected});
    }
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Whose whose : {Whose::both, Whose::client, Whose::server}) {
    for (const QpType qp_type : {QpType::rc, QpType::ud}) {
      for (const bool accepts : {true, false}) cases.push_back({whose, qp_type, accepts});
    }
  }
  return cases;
}

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const auto& [whose, qp_type, accepts] = info.param;
  const std::string side = whose == Whose::both ? "Any" : whose == Whose::client ? "Clients" : "Servers";
  return side + (qp_type == QpType::rc ? "Connection" : "Datagram") + (accepts ? "Accepted" : "Refused");
}

INSTANTIATE_TEST_SUITE_P(AllPatterns, LossTest, testing::ValuesIn(all_cases()), name_of);

}  // namespace
}  // namespace hawser::cma
