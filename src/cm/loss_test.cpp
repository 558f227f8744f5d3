// Every loss pattern of the first eight messages of a connection's life, and random trouble beyond that.
#include <random>

#include <gtest/gtest.h>

#include "cm/test_net.hpp"

namespace hawser::cm {
namespace {

using Events = std::vector<EventKind>;

// Two programs, one connection: it is made, ended by the active side half a second after it is up, and let go.
class Life {
 public:
  explicit Life(TestNet::Fate fate) {
    net.fate = std::move(fate);
    active.on_event = [this](const Event& event) {
      const int result = active.react(event);
      if (event.kind == EventKind::rep_received) {
        net.at(net.now() + 500ms, [this] { EXPECT_TRUE(active.connection->send_dreq({})); });
      }
      return result;
    };
  }
  void run() {
    listener = *server.manager.listen(server.device, test_service, passive.handler());
    ASSERT_TRUE(active.connect(server.gid));
    net.run(300s);
    EXPECT_TRUE(net.is_quiet());
  }
  void resolve_service() {
    listener = *server.manager.listen(server.device, test_service, passive.handler());
    active.connection = *client.manager.create(active.handler());
    SidrReqParam param;
    param.path = client.path_to(server.gid);
    param.service_id = test_service;
    ASSERT_TRUE(active.connection->send_sidr_req(param));
    net.run(300s);
    EXPECT_TRUE(net.is_quiet());
  }
  void expect_nothing_left() {
    active.destroy();
    passive.destroy();
    server.manager.unlisten(listener);
    net.run();
    EXPECT_EQ(client.manager.usage(), Usage{});
    EXPECT_EQ(server.manager.usage(), Usage{});
    EXPECT_EQ(client.ids.in_use() + server.ids.in_use(), 0U);
  }

  TestNet net;
  Host server{net, 1}, client{net, 2};
  Program passive{server}, active{client};
  std::shared_ptr<Manager::Listener> listener;
};

TestNet::Fate lost_by(unsigned bitmap, std::vector<Attribute>* delivered = nullptr) {
  return [bitmap, delivered](std::size_t number, const Message& m) {
    const bool lost = number < 8 && (bitmap >> number & 1) != 0;
    if (!lost && delivered != nullptr) delivered->push_back(attribute_of(m));
    return lost ? std::vector<rt::Duration>{} : std::vector<rt::Duration>{1ms};
  };
}

TEST(Loss, AllPatternsOfTheFirstEightMessagesEndAsTheyShould) {
  unsigned without_rtu = 0;
  for (unsigned bitmap = 0; bitmap < 256; ++bitmap) {
    SCOPED_TRACE(testing::Message() << "bitmap " << bitmap);
    std::vector<Attribute> delivered;
    Life life(lost_by(bitmap, &delivered));
    life.run();
    EXPECT_EQ(life.active.events,
              (Events{EventKind::rep_received, EventKind::drep_received, EventKind::timewait_exit}));
    // A DREQ may overtake the last RTU that was lost [spec 5.5]: then there is no ESTABLISHED, and that is legal.
    const auto rtu = std::ranges::find(delivered, Attribute::rtu);
    const auto dreq = std::ranges::find(delivered, Attribute::dreq);
    if (rtu < dreq) {
      EXPECT_EQ(life.passive.events, (Events{EventKind::req_received, EventKind::rtu_received, EventKind::dreq_received,
                                             EventKind::timewait_exit}));
    } else {
      ++without_rtu;
      EXPECT_EQ(life.passive.events,
                (Events{EventKind::req_received, EventKind::dreq_received, EventKind::timewait_exit}));
    }
    EXPECT_EQ(life.active.connection->state(), State::idle);
    EXPECT_EQ(life.passive.connection->state(), State::idle);
    life.expect_nothing_left();
  }
  EXPECT_GT(without_rtu, 0U) << "the patterns reach this case";
  EXPECT_LT(without_rtu, 256U);
}

TEST(Loss, AllPatternsOfARefusalEndInRejected) {
  for (unsigned bitmap = 0; bitmap < 256; ++bitmap) {
    SCOPED_TRACE(testing::Message() << "bitmap " << bitmap);
    Life life(lost_by(bitmap));
    life.passive.on_event = [](const Event&) { return -ECONNREFUSED; };
    life.run();
    EXPECT_EQ(life.active.events, Events{EventKind::rej_received});
    EXPECT_EQ(life.active.reject_reason, 28);
    EXPECT_EQ(life.active.connection->state(), State::idle);
    life.expect_nothing_left();
  }
}

TEST(Loss, AllPatternsWithBothSidesDisconnecting) {
  for (unsigned bitmap = 0; bitmap < 256; ++bitmap) {
    SCOPED_TRACE(testing::Message() << "bitmap " << bitmap);
    Life life(lost_by(bitmap));
    life.passive.on_event = [&life](const Event& event) {
      const int result = life.passive.react(event);
      if (event.kind == EventKind::rtu_received) {
        life.net.at(life.net.now() + 499ms, [&life] {
          if (life.passive.connection->state() == State::established) {
            EXPECT_TRUE(life.passive.connection->send_dreq({}));
          }
        });
      }
      return result;
    };
    life.active.on_event = [&life](const Event& event) {
      if (event.kind == EventKind::rep_received) {
        life.net.at(life.net.now() + 500ms, [&life] {
          if (life.active.connection->state() == State::established) {
            EXPECT_TRUE(life.active.connection->send_dreq({}));
          }
        });
      }
      return life.active.react(event);
    };
    life.run();
    EXPECT_EQ(life.active.connection->state(), State::idle);
    EXPECT_EQ(life.passive.connection->state(), State::idle);
    EXPECT_EQ(life.active.events.back(), EventKind::timewait_exit);
    EXPECT_EQ(life.passive.events.back(), EventKind::timewait_exit);
    life.expect_nothing_left();
  }
}

// A question and its answer: whatever is lost, the one asks once and the other is told once [spec 1.5.21, 1.5.24].
TEST(Loss, AllPatternsOfAServiceResolutionEndInItsAnswer) {
  for (const bool refused : {false, true}) {
    for (unsigned bitmap = 0; bitmap < 256; ++bitmap) {
      SCOPED_TRACE(testing::Message() << "bitmap " << bitmap << (refused ? ", refused" : ""));
      Life life(lost_by(bitmap));
      std::vector<SidrStatus> told;
      life.passive.on_event = [&](const Event&) {
        if (refused) return -ECONNREFUSED;
        return -errno_of(life.passive.connection->send_sidr_rep({.status = SidrStatus::success}));
      };
      life.active.on_event = [&](const Event& event) {
        if (event.kind == EventKind::sidr_rep_received) told.push_back(event.sidr_rep.status);
        return 0;
      };
      life.resolve_service();
      EXPECT_EQ(life.passive.events, Events{EventKind::sidr_req_received});
      EXPECT_EQ(life.active.events, Events{EventKind::sidr_rep_received});
      EXPECT_EQ(told, std::vector{refused ? SidrStatus::reject : SidrStatus::success});
      life.expect_nothing_left();
    }
  }
}

// Loss, duplicates and reordering together: everything ends, and nothing stays.
TEST(Loss, RandomTroubleLeavesNothingBehind) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 300; ++i) {
    Life life([&random](std::size_t, const Message&) {
      std::vector<rt::Duration> copies;
      const auto dice = random() % 10;
      const unsigned count = dice < 3 ? 0 : dice < 8 ? 1 : 2;
      for (unsigned c = 0; c < count; ++c) copies.push_back(std::chrono::milliseconds(1 + random() % 6000));
      return copies;
    });
    life.active.on_event = [&life](const Event& event) {
      if (event.kind == EventKind::rep_received) {
        life.net.at(life.net.now() + 500ms, [&life] {
          if (life.active.connection->state() == State::established) {
            EXPECT_TRUE(life.active.connection->send_dreq({}));
          }
        });
      }
      return life.active.react(event);
    };
    life.passive.on_event = [&life](const Event& event) {
      // A REQ that a slow network delivers after all was over begins a second connection: refuse it.
      if (event.kind == EventKind::req_received && life.passive.events.size() > 1) return -ECONNREFUSED;
      return life.passive.react(event);
    };
    Connection* accepted = nullptr;
    const auto plain = life.passive.on_event;
    life.passive.on_event = [&](const Event& event) {
      const int result = plain(event);
      if (event.kind == EventKind::req_received && result == 0) accepted = life.passive.connection;
      return result;
    };
    life.run();
    life.passive.connection = accepted;
    if (accepted != nullptr) {
      EXPECT_NE(accepted->state(), State::rep_sent);
    }
    EXPECT_EQ(life.active.connection->state(), State::idle);
    life.expect_nothing_left();
  }
}

}  // namespace
}  // namespace hawser::cm
