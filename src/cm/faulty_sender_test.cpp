#include "cm/faulty_sender.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hawser::cm {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class RecordingSender final : public MadSender {
 public:
  void send(const verbs::MadAddress&, const verbs::Mad& mad) override {
    sent.push_back(static_cast<unsigned>(decode(mad)->header.tid));
  }
  std::vector<unsigned> sent;  // transaction ids
};

class OneLedger final : public Ledger {
 public:
  LedgerRecord* allocate() override { return nullptr; }
  void release(LedgerRecord*) override {}
  [[nodiscard]] std::optional<LedgerRecord> find(const std::function<bool(const LedgerRecord&)>& is_it) const override {
    for (const LedgerRecord& record : records) {
      if (is_it(record)) return record;
    }
    return std::nullopt;
  }
  std::vector<LedgerRecord> records;
};

struct FaultySenderTest : testing::Test {
  void send(const Body& body) { sender.send({}, encode({.tid = ++tid}, body)); }
  void set(std::uint32_t number, std::string_view fault) {
    sender.set(number, std::get<MadFault>(*parse_fault(fault)));
  }
  void pass(rt::Duration time) {
    world->advance_to(world->now() + time);
    static_cast<void>(dispatcher.run());
  }

  const std::unique_ptr<rt::World> world = rt::World::simulated(1);
  rt::Dispatcher dispatcher{*world};
  RecordingSender wire;
  OneLedger ledger;
  FaultySender sender{dispatcher, wire, ledger};
  unsigned tid = 0;
};

TEST_F(FaultySenderTest, WithoutAFaultEverythingPasses) {
  send(Req());
  send(Rep());
  EXPECT_THAT(wire.sent, ElementsAre(1, 2));
}

TEST_F(FaultySenderTest, DropsTheNthOfItsKind) {
  set(1, "drop=REP:nth=2");
  for (int i = 0; i < 3; ++i) {
    send(Req());
    send(Rep());
  }
  EXPECT_THAT(wire.sent, ElementsAre(1, 2, 3, 5, 6));
  EXPECT_THAT(sender.effects(), UnorderedElementsAre(testing::Pair(1, 1)));
  EXPECT_EQ(sender.counters().dropped, 1U);
}

TEST_F(FaultySenderTest, CountsFromWhenItWasSet) {
  send(Dreq());
  set(1, "drop=DREQ:nth=1");
  send(Dreq());
  send(Dreq());
  EXPECT_THAT(wire.sent, ElementsAre(1, 3));
}

TEST_F(FaultySenderTest, DelayedMessagesAreOvertaken) {
  set(1, "delay=REQ:nth=1:by=500ms");
  send(Req());
  send(Rtu());
  pass(499ms);
  EXPECT_THAT(wire.sent, ElementsAre(2));
  pass(1ms);
  EXPECT_THAT(wire.sent, ElementsAre(2, 1));
  EXPECT_EQ(sender.counters().delayed, 1U);
}

TEST_F(FaultySenderTest, DuplicatesAndAFaultForEachOfThem) {
  set(1, "duplicate=RTU");
  set(2, "duplicate=RTU:nth=2");
  send(Rtu());
  send(Rtu());
  EXPECT_THAT(wire.sent, ElementsAre(1, 1, 2, 2, 2));
  EXPECT_EQ(sender.counters().duplicated, 3U);
}

TEST_F(FaultySenderTest, ADuplicateCanBeLateToo) {
  set(1, "duplicate=REJ");
  set(2, "delay=REJ:by=1s");
  send(Rej());
  EXPECT_THAT(wire.sent, IsEmpty());
  pass(1s);
  EXPECT_THAT(wire.sent, ElementsAre(1, 1));
}

TEST_F(FaultySenderTest, WhatIsClearedIsOver) {
  set(1, "drop=MRA");
  send(Mra());
  EXPECT_TRUE(sender.clear(1));
  EXPECT_FALSE(sender.clear(1));
  send(Mra());
  EXPECT_THAT(wire.sent, ElementsAre(2));
}

TEST_F(FaultySenderTest, TheSeedAloneDecidesWhatChanceHits) {
  const auto survivors = [this](const char* fault) {
    wire.sent.clear();
    tid = 0;
    set(1, fault);
    for (int i = 0; i < 200; ++i) send(Drep());
    return wire.sent;
  };
  const auto first = survivors("drop=DREP:chance=50%:seed=7");
  EXPECT_GT(first.size(), 50U);
  EXPECT_LT(first.size(), 150U);
  EXPECT_EQ(survivors("drop=DREP:chance=50%:seed=7"), first);
  EXPECT_NE(survivors("drop=DREP:chance=50%:seed=8"), first);
}

TEST_F(FaultySenderTest, OnePortOrOneId) {
  LedgerRecord record{};
  record.local_comm_id = 11;
  record.source_port = 40000;
  record.destination_port = 7471;
  record.number = 3;
  ledger.records.push_back(record);
  record.local_comm_id = 12;
  record.destination_port = 7472;
  record.number = 4;
  ledger.records.push_back(record);
  Req req;
  req.local_comm_id = CommId(11);
  Req other = req;
  other.local_comm_id = CommId(12);
  Req strange = req;
  strange.local_comm_id = CommId(13);
  set(1, "drop=REQ:port=7471");
  for (const Req& r : {req, other, strange}) send(r);
  EXPECT_THAT(wire.sent, ElementsAre(2, 3));
  sender.clear(1);
  set(2, "drop=REQ:id=4");
  for (const Req& r : {req, other, strange}) send(r);
  EXPECT_THAT(wire.sent, ElementsAre(2, 3, 4, 6));
}

TEST_F(FaultySenderTest, AnswersOfTheUnreliableServiceAreFoundByTheirQuestion) {
  LedgerRecord record{};
  record.remote_comm_id = 21;
  record.source_port = 7174;
  ledger.records.push_back(record);
  SidrRep answer;
  answer.request_id = CommId(21);
  set(1, "drop=SIDR_REP:port=7174");
  send(answer);
  EXPECT_THAT(wire.sent, IsEmpty());
}

}  // namespace
}  // namespace hawser::cm
