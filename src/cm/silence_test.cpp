// Hosts and services that do not answer: what they cost those that wait for them, and nobody else.
#include <gtest/gtest.h>

#include "cm/test_net.hpp"

namespace hawser::cm {
namespace {

constexpr ServiceId deaf_service{0x0000000001060BAD};
constexpr rt::Duration life_of_a_request = 16 * 4608ms;  // with the kernel's parameters [spec 1.12]

// One host that listens, and one that connects to it as often as it is told.
struct Crowd {
  ~Crowd() {
    server.manager.unlisten(listener);
    for (const auto& program : connecting) program->destroy();
    for (const auto& program : accepting) program->destroy();
    net.run();
    EXPECT_EQ(client.manager.usage(), Usage{});
    EXPECT_EQ(server.manager.usage(), Usage{});
  }
  Program& connect(ServiceId service = test_service) {
    Program& program = *connecting.emplace_back(std::make_unique<Program>(client));
    program.connection = *client.manager.create(program.handler());
    ReqParam param = program.req_param(server.gid, Qpn(static_cast<std::uint32_t>(0x10000 + connecting.size())));
    param.service_id = service;
    EXPECT_TRUE(program.connection->send_req(param));
    return program;
  }
  int accept(Connection& connection) {
    Program& program = *accepting.emplace_back(std::make_unique<Program>(server));
    program.connection = &connection;
    connection.set_handler(program.handler());
    RepParam param;
    param.qpn = Qpn(static_cast<std::uint32_t>(0x10000 + accepting.size()));
    return -errno_of(connection.send_rep(param));
  }

  TestNet net;
  Host server{net, 1}, client{net, 2};
  std::vector<std::unique_ptr<Program>> accepting, connecting;
  const std::shared_ptr<Manager::Listener> listener = *server.manager.listen(
      server.device, test_service, [this](Connection& connection, const Event&) { return accept(connection); });
};

TEST(Silence, TenThousandDisconnectsToADeadHostEndInAboutOneRequestsLife) {  // [spec 5.5.18, 5.6.11]
  constexpr std::size_t count = 10'000;
  Crowd crowd;
  for (std::size_t i = 0; i < count; ++i) crowd.connect();
  crowd.net.run();
  EXPECT_EQ(crowd.client.manager.counters().req_retransmitted, 0U);
  crowd.net.leave(crowd.server);
  crowd.client.sent.clear();
  for (const auto& program : crowd.connecting) ASSERT_TRUE(program->connection->send_dreq({}));
  crowd.net.run(3 * life_of_a_request / 2);
  for (const auto& program : crowd.connecting) {
    ASSERT_GE(program->events.size(), 2U);
    EXPECT_EQ(program->events[1], EventKind::dreq_error);
  }
  // The host may be back at any moment: it never gets more at a time than its socket buffer takes, 166 MADs.
  const std::vector<Sent>& sent = crowd.client.sent;
  EXPECT_EQ(sent.size(), 16 * count);
  for (std::size_t i = 128; i < sent.size(); ++i) ASSERT_GE(sent[i].time - sent[i - 128].time, 10ms) << i;
}

TEST(Silence, ADeafServiceDelaysNoOther) {  // [spec 5.6.11]
  Crowd crowd;
  crowd.net.fate = [](std::size_t, const Message& m) {
    const Req* req = as<Req>(m);
    return std::vector<rt::Duration>(req != nullptr && req->service_id == deaf_service ? 0 : 1, 1ms);
  };
  for (int i = 0; i < 1000; ++i) crowd.connect(deaf_service);
  const Program& other = crowd.connect();
  crowd.net.run(1s);
  EXPECT_EQ(other.connection->state(), State::established);
  crowd.net.run(3 * life_of_a_request / 2);
  for (std::size_t i = 0; i < 1000; ++i) EXPECT_EQ(crowd.connecting[i]->events, std::vector{EventKind::req_error});
}

// A crowd comes back from the dead: all that was asked in the meantime is answered, by the first that gets through.
TEST(Silence, WhoeverComesBackIsHeard) {
  Crowd crowd;
  crowd.net.leave(crowd.server);
  for (int i = 0; i < 1000; ++i) crowd.connect();
  crowd.net.run(30s);
  crowd.net.join(crowd.server);
  crowd.net.run(5s);
  for (const auto& program : crowd.connecting) EXPECT_EQ(program->connection->state(), State::established);
}

}  // namespace
}  // namespace hawser::cm
