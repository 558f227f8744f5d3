// What the Manager does beyond the table of one connection: duplicates, stale connections, refusals, listeners, ids.
#include "cm/manager.hpp"

#include <gtest/gtest.h>

#include "cm/test_script.hpp"

namespace hawser::cm {
namespace {

const Rej* last_rej(const Script& s) { return s.us.sent.empty() ? nullptr : as<Rej>(s.us.sent.back().message); }

// [spec 5.2.3, 5.6.2, 5.6.3]: the answers to duplicates are made for the one who asks again.
TEST(Manager, DuplicatesAreAnsweredWithTheirTransaction) {
  Script p;
  p.bring_to("MRA_REQ_SENT");
  p.peer_sends(p.req());
  const Message& mra = p.us.sent.back().message;
  EXPECT_EQ(mra.header.tid, Script::their_tid);
  EXPECT_EQ(as<Mra>(mra)->service_timeout, 24);
  EXPECT_EQ(as<Mra>(mra)->remote_comm_id, Script::their_id);
  EXPECT_EQ(p.events.size(), 0U);

  Script a;
  a.create();
  ASSERT_TRUE(a.send_req());
  a.peer_sends(a.rep());
  const std::array data{std::byte{1}, std::byte{2}};
  ASSERT_TRUE(a.connection->send_rtu(data));
  a.peer_sends(a.rep());
  ASSERT_EQ(a.us.sent.size(), 3U);
  EXPECT_EQ(a.us.sent[1].mad, a.us.sent[2].mad) << "the stored private data again";

  a.peer_sends(a.dreq(), {.tid = 5});
  ASSERT_TRUE(a.connection->send_drep(data));
  a.peer_sends(a.dreq(), {.tid = 6});
  EXPECT_EQ(a.us.sent.back().message.header.tid, 6U) << "DREP carries the DREQ's TID [spec 5.2]";
  EXPECT_EQ(as<Drep>(a.us.sent.back().message)->private_data[1], std::byte{2});
}

// [spec 5.6.4, 5.6.5, 4 #63]: same QP, new id: the peer has lost its old connection.
TEST(Manager, AStaleConnectionIsRejectedAndItsOldOneEnded) {
  Script s;
  s.bring_to("ESTABLISHED_P");
  Req again = s.req();
  again.local_comm_id = CommId(0x78);
  s.peer_sends(again);
  EXPECT_EQ(s.sent(), "REJ10/req/0 DREQ");
  EXPECT_EQ(s.connection->state(), State::dreq_sent);
  EXPECT_EQ(s.us.manager.counters().stale, 1U);
  s.peer_sends(s.drep());
  EXPECT_EQ(s.connection->state(), State::timewait);
  Connection* const old = s.connection;
  s.receive_req();  // in timewait already: the retry is accepted
  EXPECT_EQ(s.events, (std::vector{EventKind::drep_received, EventKind::req_received}));
  EXPECT_NE(s.connection, old);
  s.us.manager.destroy(old);
}

TEST(Manager, AStaleRepIsRejectedAndTheReqGoesOnWaiting) {  // [spec 5.6.4]
  Script s;
  s.bring_to("ESTABLISHED_P");
  Connection* const old = s.connection;
  s.create();
  ASSERT_TRUE(s.send_req());
  s.sent_seen = s.us.sent.size();
  Rep rep = s.rep();
  rep.local_comm_id = CommId(0x79);  // another connection, but the QP of the old one
  s.peer_sends(rep);
  EXPECT_EQ(s.sent(), "REJ10/rep DREQ");
  EXPECT_EQ(s.connection->state(), State::req_sent);
  EXPECT_EQ(old->state(), State::dreq_sent);
  s.us.manager.destroy(old);
}

TEST(Manager, AReqThatCannotBeServedIsRefusedWithItsReason) {  // [spec 5.4.11, 5.5.5, 5.6.9, 5.7.2]
  struct Case {
    std::string what;
    std::function<void(Req&)> spoil;
    unsigned reason;  // 0: silence
  };
  const std::vector<Case> cases{
      {"service", [](Req& r) { r.service_id = ServiceId(0x1060001); }, 8},
      {"GID that is not ours", [](Req& r) { r.primary.remote_gid = Gid::v4(0x0A0000FE); }, 12},
      {"no GID of theirs", [](Req& r) { r.primary.local_gid = {}; }, 12},
      {"alternate GID",
       [](Req& r) {
         r.alternate = r.primary;
         r.alternate.local_lid = 0xFFFF;
         r.alternate.remote_gid = Gid::v4(1);
       },
       18},
      {"MTU 0", [](Req& r) { r.path_mtu = 0; }, 26},
      {"MTU 4096 through 1500", [](Req& r) { r.path_mtu = 5; }, 26},
      {"UC", [](Req& r) { r.transport_service_type = 1; }, 28},
      {"P_Key", [](Req& r) { r.pkey = PKey(0x1234); }, 0},
      {"service before GID",
       [](Req& r) {
         r.service_id = ServiceId(1);
         r.primary.remote_gid = {};
       },
       8},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    Script s;
    const auto listener = *s.us.manager.listen(s.us.device, test_service, s.handler());
    Req req = s.req();
    c.spoil(req);
    s.peer_sends(req);
    s.us.manager.unlisten(listener);
    EXPECT_TRUE(s.events.empty());
    if (c.reason == 0) {
      EXPECT_TRUE(s.us.sent.empty());
      continue;
    }
    ASSERT_NE(last_rej(s), nullptr);
    EXPECT_EQ(last_rej(s)->reason, c.reason);
    EXPECT_EQ(last_rej(s)->answered, Answered::req);
    EXPECT_EQ(last_rej(s)->local_comm_id, CommId{});
    EXPECT_EQ(last_rej(s)->remote_comm_id, Script::their_id);
    EXPECT_EQ(last_rej(s)->additional_info_length, c.reason == 12 || c.reason == 18 ? 16 : 0);
    EXPECT_EQ(s.us.manager.usage(), Usage{});
  }
}

// [spec 1.9.6, 7 I22]: full is silence, refused is 28; both leave nothing.
TEST(Manager, TheListenersResultDecides) {
  for (const int result : {-ENOMEM, -ECONNREFUSED, -EINVAL, 1}) {
    Script s;
    s.on_event = [&](const Event&) { return result; };
    s.receive_req();
    EXPECT_EQ(s.sent(), result == -ENOMEM ? "-" : "REJ28/req/0");
    EXPECT_EQ(s.us.manager.usage(), Usage{});
    EXPECT_EQ(s.us.ids.in_use(), 0U);
  }
}

TEST(Manager, ListenersThatShareAServiceAreAskedInTurn) {  // [spec 5.5.8, 5.6.9]
  Script s;
  std::string asked;
  const auto answer = [&](char who, int result) {
    return [&asked, who, result](Connection&, const Event&) {
      asked += who;
      return result;
    };
  };
  const auto every = *s.us.manager.listen(nullptr, test_service, s.handler());
  const auto first = *s.us.manager.listen(s.us.device, test_service, answer('1', -EADDRNOTAVAIL));
  const auto second = *s.us.manager.listen(s.us.device, test_service, answer('2', -EADDRNOTAVAIL));
  s.peer_sends(s.req());
  EXPECT_EQ(asked, "12");
  EXPECT_EQ(s.events, std::vector{EventKind::req_received}) << "the device's listeners first, then everybody's";
  s.us.manager.destroy(std::exchange(s.connection, nullptr));
  s.us.manager.unlisten(every);
  s.sent_seen = s.us.sent.size();
  s.peer_sends(s.req());
  EXPECT_EQ(s.sent(), "REJ28/req/0") << "known service, nobody's address";
  s.us.manager.unlisten(first);
  s.us.manager.unlisten(second);
  s.peer_sends(s.req());
  EXPECT_EQ(s.sent(), "REJ8/req/0");
  EXPECT_FALSE(s.us.manager.listen(nullptr, test_service, {}));
}

// [spec 2.6.1, 7 I18]: a listener may go while its handler runs.
TEST(Manager, AListenerMayEndItselfInItsHandler) {
  Script s;
  std::shared_ptr<Manager::Listener> listener;
  listener = *s.us.manager.listen(s.us.device, test_service, [&](Connection& c, const Event&) {
    s.us.manager.unlisten(std::exchange(listener, nullptr));
    c.set_handler(s.handler());
    s.connection = &c;
    return 0;
  });
  s.peer_sends(s.req());
  EXPECT_EQ(s.connection->state(), State::req_rcvd);
  EXPECT_EQ(s.us.manager.usage().listeners, 0U);
}

TEST(Manager, WithoutAnIdAReqIsDroppedSilently) {
  Script s;
  s.us.ids.limit = 0;
  EXPECT_EQ(errno_of(s.us.manager.create(s.handler())), ENOMEM);
  s.receive_req();
  EXPECT_EQ(s.sent(), "-");
  EXPECT_EQ(s.us.manager.usage(), Usage{});
}

TEST(Manager, AFullInboxDropsAndCounts) {  // [spec 5.8.1]
  TestNet net;
  Host us(net, 1, {.inbox_mads = 10});
  Script other;
  verbs::MadAddress from;
  from.local = us.gid;
  from.remote = Gid::v4(0x0A000002);
  for (std::uint32_t i = 0; i < 15; ++i) {
    Req req = other.req();
    req.local_comm_id = CommId(i);
    req.local_qpn = Qpn(i);
    us.receive(from, encode({}, req));
  }
  EXPECT_EQ(us.manager.counters().dropped_queue_full, 5U);
  net.run();
  EXPECT_EQ(us.sent.size(), 10U) << "REJ 8 each";
  us.receive(from, encode({}, other.req()));
  net.run();
  EXPECT_EQ(us.sent.size(), 11U) << "and there is room again";
}

// [spec 4 #57]
TEST(Manager, ADreqInMraRepRcvdLeavesNoTimerBehind) {
  Script s;
  s.bring_to("MRA_REP_RCVD");
  s.peer_sends(s.dreq());
  EXPECT_EQ(s.us.manager.usage().requests, 0U);
  EXPECT_EQ(s.connection->state(), State::dreq_rcvd);
}

TEST(Manager, TheEventOfAnEstablishedQpComesBeforeTheEnd) {  // [spec 2.3.2]
  Script s;
  s.bring_to("REP_SENT");
  verbs::MadAddress from;
  from.local = s.us.gid;
  from.remote = s.peer;
  s.us.receive(from, encode({}, s.dreq()));
  ASSERT_TRUE(s.connection->notify_established());
  static_cast<void>(s.net.dispatcher.run());
  EXPECT_EQ(s.events, (std::vector{EventKind::user_established, EventKind::dreq_received}));
}

// The agent reads the ledger when the process is dead (DESIGN 3).
TEST(Manager, TheLedgerFollowsTheConnection) {
  LedgerRecord record{};
  Script s;
  s.create();
  s.connection->attach_ledger({&record, [](LedgerRecord*) {}});
  ASSERT_TRUE(s.send_req());
  EXPECT_EQ(record.cm_state, static_cast<std::uint8_t>(State::req_sent));
  EXPECT_EQ(record.local_comm_id, s.connection->local_id().value);
  EXPECT_EQ(record.remote_comm_id, 0U);
  EXPECT_EQ(record.tid, s.us.sent.back().message.header.tid);
  s.peer_sends(s.rep());
  ASSERT_TRUE(s.connection->send_rtu({}));
  EXPECT_EQ(record.cm_state, static_cast<std::uint8_t>(State::established));
  EXPECT_EQ(record.remote_comm_id, Script::their_id.value);
  EXPECT_EQ(record.local_qpn, Script::our_qpn.value);
  EXPECT_EQ(record.remote_qpn, Script::their_qpn.value);
  EXPECT_EQ(record.remote_guid, Script::their_guid.value);
  EXPECT_EQ(record.local_guid, s.us.device->guid().value);
  EXPECT_EQ(record.remote_tid, Script::their_tid);
  EXPECT_TRUE(std::ranges::equal(record.local_gid, s.us.gid.bytes));
  EXPECT_TRUE(std::ranges::equal(record.remote_gid, s.peer.bytes));
  EXPECT_EQ(record.sequence % 2, 0U);
  s.connection->attach_ledger(nullptr);
  const std::uint32_t sequence = record.sequence;
  ASSERT_TRUE(s.connection->send_dreq({}));
  EXPECT_EQ(record.sequence, sequence) << "detached";
}

// A process may be killed when the peer has heard of it already and its own next instruction has not run.
TEST(Manager, TheLedgerKnowsBeforeThePeerCanHear) {
  const auto state_when_sent = [](const char* state, const std::function<Status(Script&)>& send) {
    LedgerRecord record{};
    Script s;
    s.bring_to(state);
    s.connection->attach_ledger({&record, [](LedgerRecord*) {}});
    std::optional<State> seen;
    s.us.before_each_send = [&] { seen = static_cast<State>(record.cm_state); };
    EXPECT_TRUE(send(s)) << state;
    s.us.before_each_send = nullptr;
    return seen;
  };
  EXPECT_EQ(state_when_sent("IDLE", [](Script& s) { return s.send_req(); }), State::req_sent);
  EXPECT_EQ(state_when_sent("REQ_RCVD", [](Script& s) { return s.send_rep(); }), State::rep_sent);
  EXPECT_EQ(state_when_sent("REP_RCVD", [](Script& s) { return s.connection->send_rtu({}); }), State::established);
}

// The process may end before the peer has heard of the end: the record says so until timewait is over.
TEST(Manager, TheLedgerKeepsAnUnansweredFarewell) {
  LedgerRecord record{};
  bool held = true;
  Script s;
  s.create();
  s.connection->attach_ledger({&record, [&held](LedgerRecord*) { held = false; }});
  ASSERT_TRUE(s.send_req());
  s.peer_sends(s.rep());
  ASSERT_TRUE(s.connection->send_rtu({}));
  s.us.manager.destroy(std::exchange(s.connection, nullptr));
  EXPECT_TRUE(held);
  EXPECT_EQ(record.cm_state, static_cast<std::uint8_t>(State::dreq_sent));
  EXPECT_EQ(record.remote_qpn, Script::their_qpn.value);
  EXPECT_EQ(record.remote_comm_id, Script::their_id.value);
  s.net.run(std::chrono::minutes(2));
  EXPECT_FALSE(held);
}

TEST(Manager, TheLedgerForgetsAnAnsweredFarewell) {
  LedgerRecord record{};
  bool held = true;
  Script s;
  s.create();
  s.connection->attach_ledger({&record, [&held](LedgerRecord*) { held = false; }});
  ASSERT_TRUE(s.send_req());
  s.peer_sends(s.rep());
  ASSERT_TRUE(s.connection->send_rtu({}));
  ASSERT_TRUE(s.connection->send_dreq({}));
  s.peer_sends(s.drep());
  s.us.manager.destroy(std::exchange(s.connection, nullptr));
  EXPECT_FALSE(held);
}

}  // namespace
}  // namespace hawser::cm
