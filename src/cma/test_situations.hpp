// For tests: one id on one host, and a peer that is nothing but the messages that it sends. Brings the id into each
// situation of table_walk.txt by public means: calls of the program, messages of the peer, time, a device that goes.
#pragma once

#include "cm/messages.hpp"
#include "cma/private_header.hpp"
#include "cma/test_walk.hpp"
#include "cma/test_world.hpp"

namespace hawser::cma::walk {

using namespace std::chrono_literals;

// Everything that the host sends disappears: the peer says what a situation or an event says that it says.
struct Subject {
  static constexpr std::uint16_t port = 7471;
  static constexpr Qpn our_qpn{0x100}, their_qpn{0x200};
  static constexpr CommId their_id{0x0B000001};
  static constexpr Guid their_guid{0x0248570B00000001};

  explicit Subject(bool datagram = false)
      : space(datagram ? PortSpace::udp : PortSpace::tcp), type(datagram ? QpType::ud : QpType::rc) {
    world.lose = [this](const SentMad& mad) { return sent.push_back(cm::decode(mad.mad)->body), true; };
    eth0 = host.devices.find_by_address(ours.ip);
    // 10.0.0.9 is behind no route; port 7000 is taken on one address, and so on the wildcard.
    host.network.set_route(*IpAddress::parse("10.0.0.9"), fail(EHOSTUNREACH));
    EXPECT_EQ(errno_of(neighbour->bind_addr(address("10.0.0.1", 7000))), 0);
  }

  // --- the id: the program's own, or, on the passive side, the child of a request ---
  [[nodiscard]] Id* id() const { return is_child ? program.children.at(0) : program.id; }
  Id* operator->() const { return id(); }
  void destroy() {
    if (is_child) {
      host.manager->destroy_id(program.children.at(0));
      program.children.clear();
    } else {
      program.destroy();
    }
    destroyed = true;
  }
  template <class Call>
  auto with_handler_lock(Call call) {
    Id* const locked = id();
    locked->lock_handler();
    const auto result = call(*locked);
    locked->unlock_handler();
    return result;
  }
  // What the id was told since the last time; what makes another child is its listener's affair.
  [[nodiscard]] std::vector<TestId::Seen> take_seen() {
    std::vector<TestId::Seen> all;
    all.swap(program.seen);
    if (is_child) {
      std::erase_if(
          all, [&](const TestId::Seen& seen) { return seen.on != child || seen.type == EventType::connect_request; });
    }
    return all;
  }
  [[nodiscard]] std::string state() const { return destroyed ? "gone" : name(id()->state()); }

  // --- the peer ---
  void peer_sends(const cm::Body& body) {
    verbs::MadAddress from;
    from.local = ours.ip;
    from.remote = theirs.ip;
    from.interface = 2;
    host.connections.on_mad(eth0, from, cm::encode({.tid = 0x77}, body));
  }
  // The id's communication id: the last one that was given out.
  [[nodiscard]] CommId our_id() const { return CommId(has_connection ? host.ids.next - 1 : 0x01FFFFFF); }
  [[nodiscard]] static ServiceId service(PortSpace of) {
    return ServiceId(std::uint64_t{std::to_underlying(of)} << 16 | port);
  }
  template <class Message>
  void ask(Message& m) const {  // the program's part of a request
    const auto header = with_private_header({.v4 = true, .source_port = 9, .source = theirs.ip, .destination = ours.ip},
                                            bytes("hello"), m.private_data.size() - private_header_bytes);
    cm::fill(m.private_data, *header);
  }
  [[nodiscard]] cm::Req req(PortSpace to = PortSpace::tcp) const {
    cm::Req m;
    m.local_comm_id = their_id;
    m.service_id = service(to);
    m.local_ca_guid = their_guid;
    m.local_qpn = their_qpn;
    m.remote_cm_response_timeout = m.local_cm_response_timeout = 20;
    m.max_cm_retries = 15;
    m.pkey = pkey_default;
    m.path_mtu = static_cast<std::uint8_t>(Mtu::mtu_1024);
    m.primary.local_gid = theirs.ip;
    m.primary.remote_gid = ours.ip;
    m.primary.hop_limit = 64;
    ask(m);
    return m;
  }
  [[nodiscard]] cm::SidrReq sidr_req(PortSpace to = PortSpace::udp) const {
    cm::SidrReq m;
    m.request_id = their_id;
    m.pkey = pkey_default;
    m.service_id = service(to);
    ask(m);
    return m;
  }
  [[nodiscard]] cm::SidrRep sidr_rep(cm::SidrStatus status, QKey qkey = qkey_default) const {
    cm::SidrRep m;
    m.request_id = our_id();
    m.status = static_cast<std::uint8_t>(status);
    m.qpn = their_qpn;
    m.service_id = service(PortSpace::udp);
    m.qkey = qkey;
    return m;
  }
  [[nodiscard]] cm::Rep rep() const {
    cm::Rep m;
    m.local_comm_id = their_id;
    m.remote_comm_id = our_id();
    m.local_qpn = their_qpn;
    m.local_ca_guid = their_guid;
    return m;
  }
  template <class Message>  // any other of those that name both ids
  [[nodiscard]] Message message() const {
    Message m;
    m.local_comm_id = their_id;
    m.remote_comm_id = our_id();
    return m;
  }
  [[nodiscard]] cm::Rej rej(cm::Answered answered, std::uint16_t reason) const {
    auto m = message<cm::Rej>();
    m.answered = answered;
    m.reason = reason;
    if (answered == cm::Answered::req) m.local_comm_id = {};  // the responder has shown none
    if (reason == 4) {
      m.additional_info_length = 8;
      for (int i = 0; i < 8; ++i)
        m.additional_info[std::size_t(i)] = std::byte(their_guid.value >> (56 - 8 * i) & 0xFF);
    }
    return m;
  }
  [[nodiscard]] cm::Mra mra(cm::Answered answered) const {
    auto m = message<cm::Mra>();
    m.answered = answered;
    m.service_timeout = 20;
    return m;
  }
  [[nodiscard]] cm::Dreq dreq(Qpn qpn) const {
    auto m = message<cm::Dreq>();
    m.remote_qpn = qpn;
    return m;
  }

  // The neighbour is reachable, with the MAC that it always had.
  void neighbour_answers() {
    host.network.answer_for_unknown_neighbours(true);
    host.network.set_neighbour(2, theirs.ip, *host.network.neighbour(2, theirs.ip));
  }

  // --- steps on the way into a situation: each must succeed ---
  void must(const Status& status) { ASSERT_EQ(errno_of(status), 0); }
  void hears(const cm::Body& body) {
    peer_sends(body);
    world.run();
  }
  void bind(const std::string& ip) { must(id()->bind_addr(address(ip, port))); }
  void query() {
    host.network.answer_for_unknown_neighbours(false);
    must(id()->resolve_addr(nullptr, theirs, 2s));
  }
  void resolve() {
    must(id()->resolve_addr(nullptr, theirs, 2s));
    world.run();
  }
  // A subnet administrator, which RoCE has none of, knows one service: theirs. It takes a second.
  void ask_service() {
    host.subnet.on_services = [this](const addr::ServiceQuery&) {
      return Result<std::vector<addr::ServiceRecord>>({{ServiceId(0x01060000 | port), theirs.ip, pkey_default, "s"}});
    };
    host.subnet.delay = 1s;
    bind("10.0.0.1");
    must(id()->resolve_service({.name = "s", .id = {}}));
  }
  void ask_route() {
    resolve();
    must(id()->resolve_route(2s));
  }
  void route() {
    ask_route();
    world.run();
  }
  void connect() {
    route();
    must(id()->connect(with_qp(our_qpn.value)));
    has_connection = true;
    world.run();
  }
  void establish() {
    connect();
    hears(rep());
    must(with_handler_lock([](Id& on) { return on.accept(nullptr); }));
  }
  void listen(const std::string& ip) {
    bind(ip);
    must(id()->listen(1));
  }
  void be_asked() {
    listen("10.0.0.1");
    if (type == QpType::ud) {
      hears(sidr_req());
    } else {
      hears(req());
    }
    ASSERT_EQ(program.children.size(), 1U);
    is_child = has_connection = true;
    child = program.children[0];
    ASSERT_EQ(host.ports.size(), 2U) << "the neighbour's and the listener's: a child holds none [spec 1.8.9]";
  }
  void answer() {
    be_asked();
    const ConnParam param = with_qp(our_qpn.value);
    must(with_handler_lock([&](Id& on) { return on.accept(&param); }));
    world.run();
  }
  void remove_device() {
    host.devices.remove(eth0->name());
    world.run();
  }

  std::vector<cm::Body> sent;  // outlives the host, which sends to its end
  TestWorld world;
  TestHost host{world, 1, {loopback(), ethernet(2, "eth0", {"10.0.0.1", "fd00::1"})}};
  const PortSpace space;
  const QpType type;
  TestId neighbour{host, space, type};
  TestId program{host, space, type};
  verbs::DevicePtr eth0;
  const SocketAddress ours = address("10.0.0.1", port), theirs = address("10.0.0.2", port);
  const Id* child = nullptr;  // for comparison, also when it is gone
  bool is_child = false, has_connection = false, destroyed = false;
};

// How each situation is reached. Its name begins with the state that must be found then.
struct Situation {
  const char* name;
  void (*reach)(Subject& s);
  [[nodiscard]] bool datagram() const { return is_datagram(name); }
};

inline constexpr Situation situations[] = {
    {"IDLE", [](Subject&) {}},
    {"ADDR_BOUND/wildcard", [](Subject& s) { s.bind("0.0.0.0"); }},
    {"ADDR_BOUND/device", [](Subject& s) { s.bind("10.0.0.1"); }},
    {"ADDR_QUERY/unbound", [](Subject& s) { s.query(); }},
    {"ADDR_QUERY/device", [](Subject& s) { s.bind("10.0.0.1"), s.query(); }},
    {"ADDR_RESOLVED", [](Subject& s) { s.resolve(); }},
    {"ADDRINFO_QUERY", [](Subject& s) { s.ask_service(); }},
    {"ADDRINFO_RESOLVED", [](Subject& s) { s.ask_service(), s.world.pass(2s); }},
    {"ROUTE_QUERY", [](Subject& s) { s.ask_route(); }},
    {"ROUTE_RESOLVED", [](Subject& s) { s.route(); }},
    {"CONNECT/req_sent", [](Subject& s) { s.connect(); }},
    {"CONNECT/mra_req_rcvd", [](Subject& s) { s.connect(), s.hears(s.mra(cm::Answered::req)); }},
    {"CONNECT/rep_rcvd", [](Subject& s) { s.connect(), s.hears(s.rep()); }},
    {"CONNECT/established", [](Subject& s) { s.establish(); }},
    {"CONNECT/dreq_sent", [](Subject& s) { s.establish(), s.must(s->disconnect()), s.world.run(); }},
    {"CONNECT/rejected", [](Subject& s) { s.connect(), s.hears(s.rej(cm::Answered::req, 28)); }},
    {"CONNECT/unreachable", [](Subject& s) { s.connect(), s.world.pass(100s); }},
    {"CONNECT/req_rcvd", [](Subject& s) { s.be_asked(); }},
    {"CONNECT/rep_sent", [](Subject& s) { s.answer(); }},
    {"CONNECT/mra_rep_rcvd", [](Subject& s) { s.answer(), s.hears(s.mra(cm::Answered::rep)); }},
    {"CONNECT/accepted", [](Subject& s) { s.answer(), s.hears(s.message<cm::Rtu>()); }},
    {"DISCONNECT/dreq_rcvd", [](Subject& s) { s.establish(), s.hears(s.dreq(Subject::our_qpn)); }},
    {"DISCONNECT/timewait",
     [](Subject& s) { s.establish(), s.hears(s.dreq(Subject::our_qpn)), s.must(s->disconnect()); }},
    {"DISCONNECT/over",
     [](Subject& s) {
       s.establish(), s.hears(s.dreq(Subject::our_qpn)), s.must(s->disconnect());
       s.world.pass(10s);
     }},
    {"LISTEN/wildcard", [](Subject& s) { s.listen("0.0.0.0"); }},
    {"LISTEN/device", [](Subject& s) { s.listen("10.0.0.1"); }},
    {"ADDR_BOUND/ud", [](Subject& s) { s.bind("10.0.0.1"); }},
    {"ADDR_RESOLVED/ud", [](Subject& s) { s.resolve(); }},
    {"ROUTE_RESOLVED/ud", [](Subject& s) { s.route(); }},
    {"CONNECT/ud_req_sent", [](Subject& s) { s.connect(); }},
    {"CONNECT/ud_answered", [](Subject& s) { s.connect(), s.hears(s.sidr_rep(cm::SidrStatus::success)); }},
    {"CONNECT/ud_refused", [](Subject& s) { s.connect(), s.hears(s.sidr_rep(cm::SidrStatus::reject)); }},
    {"CONNECT/ud_req_rcvd", [](Subject& s) { s.be_asked(); }},
    {"CONNECT/ud_accepted", [](Subject& s) { s.answer(); }},
    {"LISTEN/ud", [](Subject& s) { s.listen("0.0.0.0"); }},
    {"DEVICE_REMOVAL/bound", [](Subject& s) { s.bind("10.0.0.1"), s.remove_device(); }},
    {"DEVICE_REMOVAL/listening", [](Subject& s) { s.listen("10.0.0.1"), s.remove_device(); }},
    {"DEVICE_REMOVAL/established", [](Subject& s) { s.establish(), s.remove_device(); }},
};

}  // namespace hawser::cma::walk
