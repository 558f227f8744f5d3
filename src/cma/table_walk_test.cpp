// The table walk: every call and every internal event in every situation, against table_walk.txt.
#include <cstring>
#include <iostream>

#include "cma/test_situations.hpp"
#include "cma/test_walk.hpp"

namespace hawser::cma::walk {
namespace {

// --- what is called: one line each ---
struct Call {
  const char* name;
  Status (*make)(Subject& s);
};

SocketAddress of_family(Family family) {
  SocketAddress a;
  a.family = family;
  return a;
}

Status resolve_from(Subject& s, const SocketAddress& source) { return s->resolve_addr(&source, s.theirs, 2s); }

Status connect_with(Subject& s, std::size_t private_data_bytes) {
  return s->connect(with_qp(Subject::our_qpn.value, std::vector<std::byte>(private_data_bytes)));
}

Status accept_with(Subject& s, std::size_t private_data_bytes) {
  const std::vector<std::byte> data(private_data_bytes);
  const ConnParam param = with_qp(Subject::our_qpn.value, data);
  return s.with_handler_lock([&](Id& id) { return id.accept(&param); });
}

template <class Value>
Status status_of(const Result<Value>& result) {
  if (!result) return fail(result.error());
  return {};
}

constexpr Call calls[] = {
    {"bind_addr.any", [](Subject& s) { return s->bind_addr(address("0.0.0.0")); }},
    {"bind_addr.specific", [](Subject& s) { return s->bind_addr(address("10.0.0.1", 7472)); }},
    {"bind_addr.af_ib", [](Subject& s) { return s->bind_addr(of_family(Family::ib)); }},
    {"bind_addr.no_family", [](Subject& s) { return s->bind_addr({}); }},
    {"bind_addr.no_scope", [](Subject& s) { return s->bind_addr(address("fe80::1")); }},
    {"bind_addr.no_interface", [](Subject& s) { return s->bind_addr(address("fe80::1", 0, 77)); }},
    {"bind_addr.foreign", [](Subject& s) { return s->bind_addr(address("192.0.2.1")); }},
    {"bind_addr.privileged", [](Subject& s) { return s->bind_addr(address("10.0.0.1", 80)); }},
    {"bind_addr.taken", [](Subject& s) { return s->bind_addr(address("10.0.0.1", 7000)); }},
    {"bind_addr.shadowed", [](Subject& s) { return s->bind_addr(address("0.0.0.0", 7000)); }},
    {"resolve_addr", [](Subject& s) { return s->resolve_addr(nullptr, s.theirs, 2s); }},
    {"resolve_addr.source", [](Subject& s) { return resolve_from(s, address("10.0.0.1")); }},
    {"resolve_addr.bad_source", [](Subject& s) { return resolve_from(s, address("192.0.2.1")); }},
    {"resolve_addr.family", [](Subject& s) { return s->resolve_addr(nullptr, address("fd00::2", 1), 2s); }},
    {"resolve_addr.no_route", [](Subject& s) { return s->resolve_addr(nullptr, address("10.0.0.9", 1), 2s); }},
    {"resolve_route", [](Subject& s) { return s->resolve_route(2s); }},
    {"resolve_route.no_time", [](Subject& s) { return s->resolve_route(0s); }},
    {"resolve_service", [](Subject& s) { return s->resolve_service({.name = "s", .id = {}}); }},
    {"set_path", [](Subject& s) { return s->set_path({}); }},
    {"connect", [](Subject& s) { return connect_with(s, 0); }},
    {"connect.too_long", [](Subject& s) { return connect_with(s, 57); }},
    {"connect.too_long_for_ud", [](Subject& s) { return connect_with(s, 181); }},
    {"connect.no_memory", [](Subject& s) { return s.host.ids.refuse = [] { return ENOMEM; }, connect_with(s, 0); }},
    {"connect.no_network", [](Subject& s) { return s.host.cut_off = true, connect_with(s, 0); }},
    {"connect_locked",
     [](Subject& s) { return s.with_handler_lock([](Id& id) { return id.connect_locked(with_qp(0x100)); }); }},
    {"listen", [](Subject& s) { return s->listen(1); }},
    {"accept", [](Subject& s) { return accept_with(s, 0); }},
    {"accept.too_long", [](Subject& s) { return accept_with(s, 197); }},
    {"accept.no_network", [](Subject& s) { return s.host.cut_off = true, accept_with(s, 0); }},
    {"accept.response", [](Subject& s) { return s.with_handler_lock([](Id& id) { return id.accept(nullptr); }); }},
    {"reject", [](Subject& s) { return s->reject(28, {}); }},
    {"reject.too_long", [](Subject& s) { return s->reject(28, std::vector<std::byte>(149)); }},
    {"disconnect", [](Subject& s) { return s->disconnect(); }},
    {"disconnect.no_network", [](Subject& s) { return s.host.cut_off = true, s->disconnect(); }},
    {"notify", [](Subject& s) { return s->notify_established(); }},
    {"join_multicast",
     [](Subject& s) { return status_of(s->join_multicast(address("239.1.1.1"), JoinAs::full_member, nullptr)); }},
    {"set_reuseaddr.1", [](Subject& s) { return s->set_reuse_address(true); }},
    {"set_reuseaddr.0", [](Subject& s) { return s->set_reuse_address(false); }},
    {"set_afonly.1", [](Subject& s) { return s->set_af_only(true); }},
    {"set_afonly.0", [](Subject& s) { return s->set_af_only(false); }},
    {"set_service_type", [](Subject& s) { return s->set_service_type(0x20); }},
    {"set_ack_timeout", [](Subject& s) { return s->set_ack_timeout(14); }},
    {"set_min_rnr_timer", [](Subject& s) { return s->set_min_rnr_timer(31); }},
    {"set_min_rnr_timer.32", [](Subject& s) { return s->set_min_rnr_timer(32); }},
    {"init_qp_attr.init", [](Subject& s) { return status_of(s->qp_attributes(cm::QpTarget::init)); }},
    {"init_qp_attr.rtr", [](Subject& s) { return status_of(s->qp_attributes(cm::QpTarget::rtr)); }},
    {"init_qp_attr.rts", [](Subject& s) { return status_of(s->qp_attributes(cm::QpTarget::rts)); }},
    {"destroy_id", [](Subject& s) { return s.destroy(), Status{}; }},
};

// --- what happens: one line each. Nothing but time may run before it ends ---
struct Happening {
  const char* name;
  void (*provoke)(Subject& s);
};

constexpr addr::Mac another_mac{2, 0, 0, 9, 9, 9};

constexpr Happening happenings[] = {
    {"nothing", [](Subject&) {}},
    {"address_resolved", [](Subject& s) { s.neighbour_answers(); }},
    {"no_device_for_source",
     [](Subject& s) {
       s.host.devices.remove(s.eth0->name());
       s.neighbour_answers();
     }},
    {"time_2500ms", [](Subject& s) { s.world.pass(2500ms); }},
    {"time_300s", [](Subject& s) { s.world.pass(300s); }},
    {"req", [](Subject& s) { s.peer_sends(s.req()); }},
    {"req_for_ud", [](Subject& s) { s.peer_sends(s.req(PortSpace::udp)); }},
    {"sidr_req", [](Subject& s) { s.peer_sends(s.sidr_req()); }},
    {"sidr_req_for_rc", [](Subject& s) { s.peer_sends(s.sidr_req(PortSpace::tcp)); }},
    {"sidr_rep", [](Subject& s) { s.peer_sends(s.sidr_rep(cm::SidrStatus::success)); }},
    {"sidr_rep_refused", [](Subject& s) { s.peer_sends(s.sidr_rep(cm::SidrStatus::unsupported)); }},
    {"sidr_rep_no_key", [](Subject& s) { s.peer_sends(s.sidr_rep(cm::SidrStatus::success, {})); }},
    {"sidr_rep_chosen_key", [](Subject& s) { s.peer_sends(s.sidr_rep(cm::SidrStatus::success, QKey(7))); }},
    {"sidr_rep_another_key",
     [](Subject& s) {
       static_cast<void>(s->qp_attributes(cm::QpTarget::init));  // from now on the id has the default key
       s.peer_sends(s.sidr_rep(cm::SidrStatus::success, QKey(7)));
     }},
    {"rep", [](Subject& s) { s.peer_sends(s.rep()); }},
    {"rtu", [](Subject& s) { s.peer_sends(s.message<cm::Rtu>()); }},
    {"notified", [](Subject& s) { static_cast<void>(s->notify_established()); }},
    {"rej_of_req", [](Subject& s) { s.peer_sends(s.rej(cm::Answered::req, 28)); }},
    {"rej_of_rep", [](Subject& s) { s.peer_sends(s.rej(cm::Answered::rep, 28)); }},
    {"rej_stale", [](Subject& s) { s.peer_sends(s.rej(cm::Answered::req, 10)); }},
    {"rej_timeout", [](Subject& s) { s.peer_sends(s.rej(cm::Answered::other, 4)); }},
    {"mra_of_req", [](Subject& s) { s.peer_sends(s.mra(cm::Answered::req)); }},
    {"mra_of_rep", [](Subject& s) { s.peer_sends(s.mra(cm::Answered::rep)); }},
    {"dreq", [](Subject& s) { s.peer_sends(s.dreq(Subject::our_qpn)); }},
    {"dreq_of_another_qp", [](Subject& s) { s.peer_sends(s.dreq(Qpn(0x999))); }},
    {"drep", [](Subject& s) { s.peer_sends(s.message<cm::Drep>()); }},
    {"address_change", [](Subject& s) { s.host.manager->on_address_change(2); }},
    {"neighbour_changes_mac", [](Subject& s) { s.host.network.set_neighbour(2, s.theirs.ip, another_mac); }},
    {"device_removed", [](Subject& s) { s.host.devices.remove(s.eth0->name()); }},
};

// --- the walk ---
template <class Entry, std::size_t N>
const Entry& named(const Entry (&entries)[N], const std::string& name) {
  const auto* const found = std::ranges::find_if(entries, [&](const Entry& e) { return name == e.name; });
  if (found == std::end(entries)) throw std::runtime_error("the test does not know '" + name + "'");
  return *found;
}

std::string errno_name(int error) {
  const char* const text = error == 0 ? "ok" : strerrorname_np(error);
  return text != nullptr ? text : std::to_string(error);
}

std::string event_name(const TestId::Seen& seen) {
  std::string text = std::string(name(seen.type)).substr(std::strlen("RDMA_CM_EVENT_"));
  if (seen.status == 0) return text;
  return text + ':' + (seen.status < 0 ? '-' + errno_name(-seen.status) : std::to_string(seen.status));
}

std::vector<std::string> take_events(Subject& s) {
  std::vector<std::string> events;
  for (const TestId::Seen& seen : s.take_seen()) events.push_back(event_name(seen));
  return events;
}

Outcome in_words(Outcome expected, const std::string& before) {
  if (expected.state == "=") expected.state = before;
  return expected;
}

class TableWalk : public testing::Test {
 protected:
  const Table table_ = read_table(HAWSER_CMA_DIR "/table_walk.txt");

  void reach(Subject& s, const std::string& situation) {
    named(situations, situation).reach(s);
    ASSERT_EQ(s.state(), state_of(situation)) << "on the way to " << situation;
    s.program.seen.clear();
  }

  // A call that is refused leaves the id as it was [spec 3.2 I3], and nothing follows but what was pending.
  void expect_untouched(Subject& s, const Route& before, const Outcome& pending) {
    const Route after = s->route();
    EXPECT_EQ(after.source, before.source);
    EXPECT_EQ(after.destination, before.destination);
    EXPECT_EQ(after.device, before.device);
    EXPECT_EQ(after.has_path, before.has_path);
    s.world.run();
    EXPECT_EQ(take_events(s), pending.events);
  }

  Outcome call(Subject& s, const Row& row, const Expected& expected, const Outcome& pending) {
    const Route before = s->route();
    const Status status = named(calls, row.name).make(s);
    Outcome got{errno_name(errno_of(status)), s.state(), take_events(s)};
    if (!status && expected.otherwise) expect_untouched(s, before, pending);
    return got;
  }

  Outcome happen(Subject& s, const Row& row) {
    named(happenings, row.name).provoke(s);
    s.world.run();
    return {{}, s.state(), take_events(s)};
  }

  void walk(const Row& row, const std::string& situation) {
    const Expected& expected = row.cells.at(situation);
    if (expected.open) {
      open_[*expected.open].push_back(row.name + " in " + situation);
      return;
    }
    SCOPED_TRACE(row.name + " in " + situation);
    const Outcome& pending = table_.pending.at(situation);
    Subject s(is_datagram(situation));
    reach(s, situation);
    const Outcome got = row.is_call ? call(s, row, expected, pending) : happen(s, row);
    const Outcome& counts = expected.pending ? pending : expected.hawser.value_or(expected.specified);
    const Outcome wanted = in_words(counts, state_of(situation));
    ++compared_;
    if (expected.hawser) ++deliberate_[expected.difference];
    if (got == wanted) return;
    ++differences_;
    ADD_FAILURE() << "expected " << wanted.text() << ", got " << got.text();
  }

  void report() const {
    std::size_t open = 0;
    for (const auto& [reason, cells] : open_) open += cells.size();
    std::size_t deliberate = 0;
    for (const auto& [words, cells] : deliberate_) deliberate += cells;
    std::cout << "table walk: " << compared_ << " cells compared, " << open << " open, " << deliberate
              << " deliberate differences, " << differences_ << " differences\n";
    for (const auto& [words, cells] : deliberate_) std::cout << "  differs (" << cells << "): " << words << '\n';
    for (const auto& [reason, cells] : open_) {
      std::cout << "  open: " << reason << '\n';
      for (const std::string& cell : cells) std::cout << "    " << cell << '\n';
    }
  }

  std::size_t compared_ = 0, differences_ = 0;
  std::map<std::string, std::size_t> deliberate_;
  std::map<std::string, std::vector<std::string>> open_;
};

TEST_F(TableWalk, EveryCallAndEveryEventInEverySituation) {
  for (const Row& row : table_.rows) {
    for (const std::string& situation : table_.situations) walk(row, situation);
  }
  report();
  EXPECT_EQ(differences_, 0U);
  EXPECT_GT(compared_, 1000U);
}

// DESTROYING, the column that no call may be made in: whatever was queued when the owner ended the id is not told any
// more [spec 1.5.1, 3.5 A, 3.5 I8], and nothing of the id stays (TestHost looks).
TEST_F(TableWalk, EveryEventOvertakenByTheEndOfItsId) {
  for (const Row& row : table_.rows) {
    if (row.is_call) continue;
    for (const std::string& situation : table_.situations) {
      SCOPED_TRACE(row.name + " in " + situation + ", destroyed");
      Subject s(is_datagram(situation));
      reach(s, situation);
      named(happenings, row.name).provoke(s);
      s.program.seen.clear();  // time told some
      s.destroy();
      s.world.pass(300s);
      EXPECT_EQ(take_events(s), std::vector<std::string>{});
    }
  }
}

// A handler that answers ≠ 0 ends its id: nothing follows, nothing stays, and a refused request leaves its listener
// [spec 1.5.1, 2.2.2, 2.5.5, 2.5.6].
TEST_F(TableWalk, EveryEventWhoseHandlerEndsItsId) {
  std::size_t ended = 0;
  for (const Row& row : table_.rows) {
    if (row.is_call) continue;
    for (const std::string& situation : table_.situations) {
      const Expected& expected = row.cells.at(situation);
      const Outcome& specified = expected.pending ? table_.pending.at(situation) : expected.specified;
      if (expected.open || specified.events.empty()) continue;
      SCOPED_TRACE(row.name + " in " + situation + ", refused");
      Subject s(is_datagram(situation));
      reach(s, situation);
      const bool is_request = specified.events[0] == "CONNECT_REQUEST";
      const std::size_t ids = s.host.manager->live_ids();
      const Id* const self = s.id();
      s.program.react = [&](Id& on, const Event&) { return &on == self || is_request ? 1 : 0; };
      named(happenings, row.name).provoke(s);
      s.world.pass(300s);
      EXPECT_EQ(take_events(s), std::vector<std::string>{specified.events[0]});
      EXPECT_EQ(s.host.manager->live_ids(), is_request ? ids : ids - 1);
      ++ended;
    }
  }
  EXPECT_GT(ended, 100U);
}

TEST_F(TableWalk, TheWholeProductIsThere) {
  using Names = std::set<std::string>;
  Names known, listed, drivers, rows, states;
  for (const Situation& s : situations) known.insert(s.name);
  for (const std::string& s : table_.situations) listed.insert(s), states.insert(state_of(s));
  EXPECT_EQ(known, listed);
  for (const Call& c : calls) drivers.insert(c.name);
  for (const Happening& h : happenings) drivers.insert(h.name);
  for (const Row& row : table_.rows) EXPECT_TRUE(rows.insert(row.name).second) << row.name << " twice";
  EXPECT_EQ(drivers, rows);
  for (int number = 0; number <= 12; ++number) {
    const auto state = static_cast<State>(number);
    EXPECT_EQ(states.contains(name(state)), state != State::destroying) << name(state);
  }
}

TEST_F(TableWalk, DeliberateDifferencesAreDocumented) {
  std::ifstream file(HAWSER_CMA_DIR "/../../docs/differences.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(text.empty());
  for (const Row& row : table_.rows) {
    for (const auto& [situation, expected] : row.cells) {
      if (!expected.hawser) continue;
      EXPECT_NE(text.find(expected.difference), std::string::npos) << expected.difference;
    }
  }
}

}  // namespace
}  // namespace hawser::cma::walk
