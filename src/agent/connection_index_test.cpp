#include "agent/connection_index.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace hawser::agent {
namespace {

class ConnectionIndexTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t tid = 0x1234500000007;
  static constexpr std::uint8_t ud = 4, rc = 2;  // enum ibv_qp_type
  const IpAddress peer = *IpAddress::parse("10.0.0.2");

  ConnectionIndexTest() : memory_(*create_ledger()), ledger_(*LedgerMemory::map(memory_.get())) {
    index_.add(3, view_);
  }
  cm::LedgerRecord* record(cm::State state, std::uint8_t qp_type) {
    cm::LedgerRecord* const made = ledger_->allocate();
    cm::update(made, [&](cm::LedgerRecord& r) {
      r.in_use = 1;
      r.cm_state = static_cast<std::uint8_t>(state);
      r.qp_type = qp_type;
      r.remote_comm_id = 7;
      r.remote_guid = 0xBEEF;
      r.remote_qpn = 0x22;
      r.remote_tid = tid;
      std::ranges::copy(peer.bytes, r.remote_gid);
    });
    return made;
  }

  Descriptor memory_;
  std::unique_ptr<LedgerMemory> ledger_;
  LedgerView view_{*LedgerView::map(memory_.get())};
  ConnectionIndex index_;
};

TEST_F(ConnectionIndexTest, KnowsTheConnectionsOfItsProcesses) {
  cm::LedgerRecord* const made = record(cm::State::rep_sent, rc);
  EXPECT_FALSE(index_.by_comm_id(Guid(0xBEEF), CommId(7))) << "not before the refresh";
  index_.refresh();
  EXPECT_EQ(index_.by_comm_id(Guid(0xBEEF), CommId(7)), 3U);
  EXPECT_EQ(index_.by_qpn(Guid(0xBEEF), Qpn(0x22)), 3U);
  EXPECT_FALSE(index_.by_sidr_request(peer, CommId(7), tid));
  cm::update(made, [](cm::LedgerRecord& r) { r.cm_state = static_cast<std::uint8_t>(cm::State::timewait); });
  index_.refresh();
  EXPECT_FALSE(index_.by_comm_id(Guid(0xBEEF), CommId(7)));
  EXPECT_FALSE(index_.by_qpn(Guid(0xBEEF), Qpn(0x22)));
}

TEST_F(ConnectionIndexTest, KnowsAServiceRequestWhileItsIdLives) {
  cm::LedgerRecord* const made = record(cm::State::sidr_req_rcvd, ud);
  index_.refresh();
  EXPECT_EQ(index_.by_sidr_request(peer, CommId(7), tid), 3U);
  EXPECT_FALSE(index_.by_sidr_request(peer, CommId(7), tid + 1)) << "another request of that id";
  EXPECT_FALSE(index_.by_sidr_request(*IpAddress::parse("10.0.0.3"), CommId(7), tid)) << "another host [spec 4 #64]";
  cm::update(made, [](cm::LedgerRecord& r) { r.cm_state = static_cast<std::uint8_t>(cm::State::idle); });
  index_.refresh();
  EXPECT_EQ(index_.by_sidr_request(peer, CommId(7), tid), 3U) << "answered: it may have missed that";
  ledger_->release(made);
  index_.refresh();
  EXPECT_FALSE(index_.by_sidr_request(peer, CommId(7), tid));
}

TEST_F(ConnectionIndexTest, ForgetsAProcess) {
  record(cm::State::sidr_req_rcvd, ud);
  record(cm::State::established, rc);
  index_.refresh();
  index_.remove(3);
  EXPECT_FALSE(index_.by_sidr_request(peer, CommId(7), tid));
  EXPECT_FALSE(index_.by_comm_id(Guid(0xBEEF), CommId(7)));
}

}  // namespace
}  // namespace hawser::agent
