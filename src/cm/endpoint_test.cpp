// The whole of the table of [spec 5.5]: state × input, compared with the table below, which was transcribed from the
// specification by hand [spec 4 #53, 5.4.7, 5.6.2, 5.6.3, 5.6.10].
#include "cm/endpoint.hpp"

#include <gtest/gtest.h>

#include "cm/test_script.hpp"

namespace hawser::cm {
namespace {

const std::vector<std::string> states{"IDLE",         "REQ_SENT",      "MRA_REQ_RCVD",  "REP_RCVD",
                                      "MRA_REP_SENT", "REQ_RCVD",      "MRA_REQ_SENT",  "REP_SENT",
                                      "MRA_REP_RCVD", "ESTABLISHED_A", "ESTABLISHED_P", "DREQ_SENT",
                                      "DREQ_RCVD",    "TIMEWAIT",      "SIDR_REQ_SENT", "SIDR_REQ_RCVD"};

// Outcome: next state (= same; GONE: destroyed; GONE+T: destroyed, its id in timewait) | result | events | sent.
struct Row {
  std::string input;
  std::string otherwise;
  std::vector<std::pair<std::vector<std::string>, std::string>> cells;
};

using S = std::vector<std::string>;
const S established{"ESTABLISHED_A", "ESTABLISHED_P"};
const S awaits_rtu{"REP_SENT", "MRA_REP_RCVD"};
const S awaits_rep{"REQ_SENT", "MRA_REQ_RCVD"};
const S has_rep{"REP_RCVD", "MRA_REP_SENT"};
const std::string wrong_state = "= | EINVAL | - | -", dropped = "= | 0 | - | -";

const std::vector<Row> table{
    {"send REQ", wrong_state, {{{"IDLE"}, "REQ_SENT | 0 | - | REQ"}}},
    {"send REP", wrong_state, {{{"REQ_RCVD", "MRA_REQ_SENT"}, "REP_SENT | 0 | - | REP"}}},
    {"send RTU", wrong_state, {{has_rep, "ESTABLISHED | 0 | - | RTU"}}},
    {"prepare MRA",
     wrong_state,
     {{{"REQ_RCVD"}, "MRA_REQ_SENT | 0 | - | -"}, {{"REP_RCVD"}, "MRA_REP_SENT | 0 | - | -"}}},
    {"send REJ",
     wrong_state,
     {{awaits_rep, "IDLE | 0 | - | REJ28/other"},
      {{"REQ_RCVD"}, "IDLE | 0 | - | REJ28/req/0"},
      {{"MRA_REQ_SENT"}, "IDLE | 0 | - | REJ28/req"},
      {has_rep, "IDLE | 0 | - | REJ28/rep"},
      {awaits_rtu, "TIMEWAIT | 0 | - | REJ28/other"}}},
    {"send DREQ", wrong_state, {{established, "DREQ_SENT | 0 | - | DREQ"}}},
    {"send DREP", wrong_state, {{{"DREQ_RCVD"}, "TIMEWAIT | 0 | - | DREP"}}},
    {"send SIDR_REQ", wrong_state, {{{"IDLE"}, "SIDR_REQ_SENT | 0 | - | SIDR_REQ"}}},
    {"send SIDR_REP", wrong_state, {{{"SIDR_REQ_RCVD"}, "IDLE | 0 | - | SIDR_REP0"}}},
    {"COMM_EST",
     wrong_state,
     {{awaits_rtu, "ESTABLISHED | 0 | USER_ESTABLISHED | -"}, {established, "= | EISCONN | - | -"}}},
    {"COMM_EST from the QP", dropped, {{awaits_rtu, "ESTABLISHED | 0 | USER_ESTABLISHED | -"}}},

    // Where the peer is not (or no longer) in the tables this is a new REQ, and nobody listens.
    {"REQ",
     dropped,
     {{{"IDLE", "REQ_SENT", "MRA_REQ_RCVD", "TIMEWAIT", "SIDR_REQ_SENT", "SIDR_REQ_RCVD"}, "= | 0 | - | REJ8/req/0"},
      {{"MRA_REQ_SENT"}, "= | 0 | - | MRA/req"}}},
    {"REP",
     dropped,
     {{awaits_rep, "REP_RCVD | 0 | REP_RECEIVED | -"},
      {{"ESTABLISHED_A"}, "= | 0 | - | RTU"},
      {{"MRA_REP_SENT"}, "= | 0 | - | MRA/rep"}}},
    {"RTU", dropped, {{awaits_rtu, "ESTABLISHED | 0 | RTU_RECEIVED | -"}}},
    {"MRA of REQ", dropped, {{{"REQ_SENT"}, "MRA_REQ_RCVD | 0 | MRA_RECEIVED | -"}}},
    {"MRA of REP", dropped, {{{"REP_SENT"}, "MRA_REP_RCVD | 0 | MRA_RECEIVED | -"}}},
    {"MRA of other", dropped, {}},
    {"REJ 28 of REQ", dropped, {{awaits_rep, "IDLE | 0 | REJ_RECEIVED | -"}}},
    {"REJ 28 of REP",
     dropped,
     {{{"REQ_RCVD", "MRA_REQ_SENT", "REP_SENT", "MRA_REP_RCVD"}, "IDLE | 0 | REJ_RECEIVED | -"},
      {{"DREQ_SENT", "REP_RCVD", "MRA_REP_SENT", "ESTABLISHED_A", "ESTABLISHED_P"},
       "TIMEWAIT | 0 | REJ_RECEIVED | -"}}},
    {"REJ 28 of other",
     dropped,
     {{{"REQ_RCVD", "MRA_REQ_SENT", "REP_SENT", "MRA_REP_RCVD"}, "IDLE | 0 | REJ_RECEIVED | -"},
      {{"DREQ_SENT", "REP_RCVD", "MRA_REP_SENT", "ESTABLISHED_A", "ESTABLISHED_P"},
       "TIMEWAIT | 0 | REJ_RECEIVED | -"}}},
    {"REJ 10 of REQ", dropped, {{awaits_rep, "TIMEWAIT | 0 | REJ_RECEIVED | -"}}},
    {"REJ 10 of REP",
     dropped,
     {{{"REQ_RCVD", "MRA_REQ_SENT", "REP_SENT", "MRA_REP_RCVD", "DREQ_SENT", "REP_RCVD", "MRA_REP_SENT",
        "ESTABLISHED_A", "ESTABLISHED_P"},
       "TIMEWAIT | 0 | REJ_RECEIVED | -"}}},
    {"REJ 4, their GUID",
     dropped,
     {{{"REQ_RCVD", "MRA_REQ_SENT", "REP_SENT", "MRA_REP_RCVD"}, "IDLE | 0 | REJ_RECEIVED | -"},
      {{"DREQ_SENT", "REP_RCVD", "MRA_REP_SENT", "ESTABLISHED_A", "ESTABLISHED_P"},
       "TIMEWAIT | 0 | REJ_RECEIVED | -"}}},
    {"REJ 4, a foreign GUID", dropped, {}},
    // Before we know the peer's id its DREQ names a connection that we do not have.
    {"DREQ",
     dropped,
     {{{"REP_SENT", "MRA_REP_RCVD", "DREQ_SENT", "ESTABLISHED_A", "ESTABLISHED_P"},
       "DREQ_RCVD | 0 | DREQ_RECEIVED | -"},
      {{"TIMEWAIT"}, "= | 0 | - | DREP"},
      {{"IDLE", "REQ_SENT", "MRA_REQ_RCVD", "SIDR_REQ_SENT"}, "= | 0 | - | DREP"}}},
    {"DREQ, wrong QPN", dropped, {{{"IDLE", "REQ_SENT", "MRA_REQ_RCVD", "SIDR_REQ_SENT"}, "= | 0 | - | DREP"}}},
    {"DREP", dropped, {{{"DREQ_SENT", "DREQ_RCVD"}, "TIMEWAIT | 0 | DREP_RECEIVED | -"}}},
    {"LAP", dropped, {}},
    {"APR", dropped, {}},
    // New but for the one that waits for its answer already; and nobody listens.
    {"SIDR_REQ", "= | 0 | - | SIDR_REP1", {{{"SIDR_REQ_RCVD"}, dropped}}},
    {"SIDR_REP", dropped, {{{"SIDR_REQ_SENT"}, "IDLE | 0 | SIDR_REP_RECEIVED | -"}}},
    {"SIDR_REP, refused", dropped, {{{"SIDR_REQ_SENT"}, "IDLE | 0 | SIDR_REP_RECEIVED | -"}}},
    {"next timer",
     dropped,
     {{awaits_rep, "IDLE | 0 | REQ_ERROR | -"},
      {awaits_rtu, "IDLE | 0 | REP_ERROR | -"},
      {{"DREQ_SENT"}, "TIMEWAIT | 0 | DREQ_ERROR | -"},
      {{"SIDR_REQ_SENT"}, "IDLE | 0 | SIDR_REQ_ERROR | -"},
      {{"TIMEWAIT"}, "IDLE | 0 | TIMEWAIT_EXIT | -"}}},
    {"destroy",
     "GONE | 0 | - | -",
     {{awaits_rep, "GONE | 0 | - | REJ4/other"},
      {{"REQ_RCVD"}, "GONE | 0 | - | REJ28/req/0"},
      {{"MRA_REQ_SENT"}, "GONE | 0 | - | REJ28/req"},
      {has_rep, "GONE | 0 | - | REJ28/rep"},
      {awaits_rtu, "GONE+T | 0 | - | REJ28/other"},
      {established, "GONE+T | 0 | - | DREQ"},
      {{"DREQ_SENT", "TIMEWAIT"}, "GONE+T | 0 | - | -"},
      {{"DREQ_RCVD"}, "GONE+T | 0 | - | DREP"},
      {{"SIDR_REQ_RCVD"}, "GONE | 0 | - | SIDR_REP2"}}},
    {"destroy, ENOMEM",
     "GONE | 0 | - | -",
     {{awaits_rep, "GONE | 0 | - | REJ4/other"},
      {{"MRA_REQ_SENT"}, "GONE | 0 | - | REJ28/req"},
      {has_rep, "GONE | 0 | - | REJ28/rep"},
      {awaits_rtu, "GONE+T | 0 | - | REJ28/other"},
      {established, "GONE+T | 0 | - | DREQ"},
      {{"DREQ_SENT", "TIMEWAIT"}, "GONE+T | 0 | - | -"},
      {{"DREQ_RCVD"}, "GONE+T | 0 | - | DREP"},
      {{"SIDR_REQ_RCVD"}, "GONE | 0 | - | SIDR_REP2"}}},
};

std::string expected(const Row& row, const std::string& state) {
  for (const auto& [of, outcome] : row.cells) {
    if (std::ranges::find(of, state) != of.end()) return outcome;
  }
  return row.otherwise;
}

Status apply(Script& s, const std::string& input) {
  const std::map<std::string, std::function<Status()>> calls{
      {"send REQ", [&] { return s.send_req(); }},
      {"send REP", [&] { return s.send_rep(); }},
      {"send RTU", [&] { return s.connection->send_rtu({}); }},
      {"prepare MRA", [&] { return s.connection->prepare_mra(24); }},
      {"send REJ", [&] { return s.connection->send_rej(28, {}, {}); }},
      {"send DREQ", [&] { return s.connection->send_dreq({}); }},
      {"send DREP", [&] { return s.connection->send_drep({}); }},
      {"send SIDR_REQ", [&] { return s.send_sidr_req(); }},
      {"send SIDR_REP", [&] { return s.connection->send_sidr_rep({.status = SidrStatus::success}); }},
      {"COMM_EST", [&] { return s.connection->notify_established(); }},
  };
  if (const auto call = calls.find(input); call != calls.end()) {
    const Status status = call->second();
    static_cast<void>(s.net.dispatcher.run());
    return status;
  }
  const std::map<std::string, std::function<void()>> others{
      {"COMM_EST from the QP",
       [&] {
         s.us.manager.on_communication_established(Script::our_qpn);
         static_cast<void>(s.net.dispatcher.run());
       }},
      {"REQ", [&] { s.peer_sends(s.req()); }},
      {"REP", [&] { s.peer_sends(s.rep()); }},
      {"RTU", [&] { s.peer_sends(s.rtu()); }},
      {"MRA of REQ", [&] { s.peer_sends(s.mra(Answered::req)); }},
      {"MRA of REP", [&] { s.peer_sends(s.mra(Answered::rep)); }},
      {"MRA of other", [&] { s.peer_sends(s.mra(Answered::other)); }},
      {"REJ 28 of REQ", [&] { s.peer_sends(s.rej(28, Answered::req)); }},
      {"REJ 28 of REP", [&] { s.peer_sends(s.rej(28, Answered::rep)); }},
      {"REJ 28 of other", [&] { s.peer_sends(s.rej(28, Answered::other)); }},
      {"REJ 10 of REQ", [&] { s.peer_sends(s.rej(10, Answered::req)); }},
      {"REJ 10 of REP", [&] { s.peer_sends(s.rej(10, Answered::rep)); }},
      {"REJ 4, their GUID", [&] { s.peer_sends(s.rej_timeout(Script::their_guid)); }},
      {"REJ 4, a foreign GUID", [&] { s.peer_sends(s.rej_timeout(Guid(0xDEAD))); }},
      {"DREQ", [&] { s.peer_sends(s.dreq()); }},
      {"DREQ, wrong QPN", [&] { s.peer_sends(s.dreq(Qpn(0x12))); }},
      {"DREP", [&] { s.peer_sends(s.drep()); }},
      {"LAP",
       [&] {
         Lap lap;
         lap.local_comm_id = Script::their_id;
         lap.remote_comm_id = s.connection->local_id();
         s.peer_sends(lap);
       }},
      {"APR",
       [&] {
         Apr apr;
         apr.local_comm_id = Script::their_id;
         apr.remote_comm_id = s.connection->local_id();
         s.peer_sends(apr);
       }},
      {"SIDR_REQ", [&] { s.peer_sends(s.sidr_req()); }},
      {"SIDR_REP", [&] { s.peer_sends(s.sidr_rep()); }},
      {"SIDR_REP, refused", [&] { s.peer_sends(s.sidr_rep(SidrStatus::reject)); }},
      {"next timer",
       [&] {
         if (s.net.dispatcher.next_deadline() == rt::time_never) return;
         s.net.world->advance_to(s.net.dispatcher.next_deadline());
         static_cast<void>(s.net.dispatcher.run());
       }},
      {"destroy", [&] { s.us.manager.destroy(std::exchange(s.connection, nullptr)); }},
      {"destroy, ENOMEM", [&] { s.us.manager.destroy(std::exchange(s.connection, nullptr), -ENOMEM); }},
  };
  others.at(input)();
  return {};
}

std::string outcome(Script& s, const std::string& state, const Status& status) {
  std::string next;
  if (s.connection == nullptr) {
    next = s.us.manager.usage().timewait > 0 ? "GONE+T" : "GONE";
  } else {
    next = name(s.connection->state());
    if (next == state || state == next + "_A" || state == next + "_P") next = "=";
  }
  std::string events;
  for (const EventKind kind : s.events) events += (events.empty() ? "" : " ") + std::string(name(kind));
  const int error = errno_of(status);
  const std::string result = error == 0         ? "0"
                             : error == EINVAL  ? "EINVAL"
                             : error == EISCONN ? "EISCONN"
                                                : std::to_string(error);
  return next + " | " + result + " | " + (events.empty() ? "-" : events) + " | " + s.sent();
}

// [spec 1.10.4, 5.5.1-5.5.7, 5.5.9-5.5.18, 5.5.20-5.5.21, 4 #54, #59]
TEST(Endpoint, EveryStateAnswersEveryInputAsTheSpecificationSays) {
  unsigned compared = 0;
  for (const Row& row : table) {
    for (const std::string& state : states) {
      SCOPED_TRACE(row.input + " in " + state);
      Script s;
      s.bring_to(state);
      const Status status = apply(s, row.input);
      EXPECT_EQ(outcome(s, state, status), expected(row, state));
      ++compared;
      // Whatever happened, the end is clean: no table entry, no timer, no id stays.
      if (s.connection != nullptr) s.us.manager.destroy(std::exchange(s.connection, nullptr));
      s.net.run();
      EXPECT_EQ(s.us.manager.usage(), Usage{});
      EXPECT_EQ(s.us.ids.in_use(), 0U);
      EXPECT_TRUE(s.net.is_quiet());
    }
  }
  std::printf("[ table    ] %u cells compared\n", compared);
}

// The same calls on a host that can send nothing differ by what is sent alone [spec 5.6.14].
TEST(Endpoint, WhatCannotBeSentIsLostAndNoCallFails) {
  for (const Row& row : table) {
    if (!row.input.starts_with("send ")) continue;
    for (const std::string& state : states) {
      SCOPED_TRACE(row.input + " in " + state);
      const std::string can_send = expected(row, state);
      Script s;
      s.bring_to(state);
      s.us.broken = true;
      const Status status = apply(s, row.input);
      EXPECT_EQ(outcome(s, state, status), can_send.substr(0, can_send.rfind('|')) + "| -");
    }
  }
}

// [spec 5.5.21]: a handler that returns ≠ 0 ends its connection as destroy does, in every state that has an event.
TEST(Endpoint, AHandlerThatFailsEndsItsConnection) {
  struct Case {
    std::string state, input, sent;
  };
  const std::vector<Case> cases{
      {"REQ_SENT", "REP", "REJ28/rep"},     {"REQ_SENT", "MRA of REQ", "REJ4/other"},
      {"REQ_SENT", "REJ 28 of REQ", "-"},   {"REQ_SENT", "next timer", "-"},
      {"REP_SENT", "RTU", "DREQ"},          {"REP_SENT", "MRA of REP", "REJ28/other"},
      {"REP_SENT", "next timer", "-"},      {"REP_SENT", "COMM_EST from the QP", "DREQ"},
      {"ESTABLISHED_A", "DREQ", "DREP"},    {"ESTABLISHED_P", "REJ 28 of other", "-"},
      {"DREQ_SENT", "DREP", "-"},           {"DREQ_SENT", "next timer", "-"},
      {"TIMEWAIT", "next timer", "-"},      {"SIDR_REQ_SENT", "SIDR_REP", "-"},
      {"SIDR_REQ_SENT", "next timer", "-"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.input + " in " + c.state);
    Script s;
    s.bring_to(c.state);
    s.on_event = [](const Event&) { return -ECONNABORTED; };
    static_cast<void>(apply(s, c.input));
    EXPECT_EQ(s.connection, nullptr) << "the handler was called";
    EXPECT_EQ(s.sent(), c.sent);
    s.net.run();
    EXPECT_EQ(s.events.size(), 1U) << "no handler after the end";
    EXPECT_EQ(s.us.manager.usage(), Usage{});
    EXPECT_EQ(s.us.ids.in_use(), 0U);
  }
}

TEST(Endpoint, PrivateDataThatDoesNotFitIsRefused) {
  const std::vector<std::byte> big(225);
  const std::span<const std::byte> all(big);
  Script s;
  s.create();
  ReqParam req;
  req.path = s.us.path_to(s.peer);
  req.private_data = all.first(93);
  EXPECT_EQ(errno_of(s.connection->send_req(req)), EINVAL);
  EXPECT_EQ(s.connection->state(), State::idle);
  SidrReqParam sidr_req;
  sidr_req.path = s.us.path_to(s.peer);
  sidr_req.private_data = all.first(217);
  EXPECT_EQ(errno_of(s.connection->send_sidr_req(sidr_req)), EINVAL);
  EXPECT_EQ(s.connection->state(), State::idle);
  Script d;
  d.bring_to("SIDR_REQ_RCVD");
  EXPECT_EQ(errno_of(d.connection->send_sidr_rep({.private_data = all.first(137)})), EINVAL);
  EXPECT_EQ(errno_of(d.connection->send_sidr_rep({.additional_info = all.first(73)})), EINVAL);
  EXPECT_EQ(d.connection->state(), State::sidr_req_rcvd);
  Script p;
  p.bring_to("REQ_RCVD");
  RepParam rep;
  rep.private_data = all.first(197);
  EXPECT_EQ(errno_of(p.connection->send_rep(rep)), EINVAL);
  EXPECT_EQ(errno_of(p.connection->send_rej(28, all.first(73), {})), EINVAL);
  EXPECT_EQ(errno_of(p.connection->send_rej(28, {}, all.first(149))), EINVAL);
  EXPECT_EQ(p.connection->state(), State::req_rcvd);
  Script a;
  a.bring_to("REP_RCVD");
  EXPECT_EQ(errno_of(a.connection->send_rtu(all)), EINVAL);
  ASSERT_TRUE(a.connection->send_rtu(all.first(224)));
  EXPECT_EQ(errno_of(a.connection->send_dreq(all.first(221))), EINVAL);
  a.peer_sends(a.dreq());
  EXPECT_EQ(errno_of(a.connection->send_drep(all)), EINVAL);
  EXPECT_EQ(a.connection->state(), State::dreq_rcvd);
}

// [spec 5.7.1, 5.7.3-5.7.6, 5.9.1-5.9.3]
TEST(Endpoint, QpAttributesFollowTheMessages) {
  Script a;
  a.create();
  EXPECT_EQ(errno_of(a.connection->qp_attributes(QpTarget::init)), EINVAL);
  ReqParam req;
  req.path = a.us.path_to(a.peer);
  req.qpn = Script::our_qpn;
  req.starting_psn = Psn(0xABC);
  req.responder_resources = 3;
  req.initiator_depth = 5;
  req.retry_count = 6;
  ASSERT_TRUE(a.connection->send_req(req));
  EXPECT_TRUE(a.connection->qp_attributes(QpTarget::init));
  EXPECT_EQ(errno_of(a.connection->qp_attributes(QpTarget::rtr)), EINVAL);
  Rep rep = a.rep();
  rep.starting_psn = Psn(0xDEF);
  rep.responder_resources = 2;
  rep.initiator_depth = 4;
  rep.rnr_retry_count = 5;
  a.peer_sends(rep);
  const auto rts = a.connection->qp_attributes(QpTarget::rts);
  ASSERT_TRUE(rts);
  EXPECT_EQ(rts->destination_qpn, Script::their_qpn);
  EXPECT_EQ(rts->receive_psn, Psn(0xABC));
  EXPECT_EQ(rts->send_psn, Psn(0xDEF));
  EXPECT_EQ(rts->max_rd_atomic, 2) << "the passive side's word";
  EXPECT_EQ(rts->max_dest_rd_atomic, 4);
  EXPECT_EQ(rts->retry_count, 6) << "of the REQ";
  EXPECT_EQ(rts->rnr_retry, 5) << "of the REP";
  EXPECT_EQ(rts->timeout, 17) << "packet life time 16 and ack delay 15 [spec 1.12]";

  Script p;
  p.receive_req();
  const auto rtr = p.connection->qp_attributes(QpTarget::rtr);
  ASSERT_TRUE(rtr);
  EXPECT_EQ(rtr->local, p.us.gid);
  EXPECT_EQ(rtr->remote, p.peer);
  EXPECT_EQ(rtr->timeout, 17) << "the REQ's local ack timeout";
}

}  // namespace
}  // namespace hawser::cm
