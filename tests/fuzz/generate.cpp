#include "generate.hpp"

#include <algorithm>

namespace hawser::fuzz {

std::uint64_t Chance::next() {
  std::uint64_t z = (state_ += 0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

namespace {

std::size_t arguments_of(Op op) {
  return static_cast<std::size_t>(
      std::ranges::count_if(command(op).arguments, [](Kind kind) { return kind != Kind::none; }));
}

void randomise(Call& call, std::size_t argument, Chance& chance) {
  const std::size_t count = values(command(call.op).arguments[argument]).size();
  // The first values of a table are the usual ones.
  const std::size_t bound = chance.percent(50) ? std::min<std::size_t>(count, 3) : count;
  call.arguments[argument] = static_cast<std::uint8_t>(chance.below(bound));
}

Call random_call(Chance& chance, Form form) {
  Call call;
  do {
    call.op = static_cast<Op>(chance.below(op_count));
  } while (!has(form, call.op));
  if ((call.op == Op::happen || call.op == Op::close) && chance.percent(60)) call.op = Op::destroy_id;
  for (std::size_t i = 0; i < arguments_of(call.op); ++i) randomise(call, i, chance);
  return call;
}

// Writes the steps of somebody who knows what he is doing.
class Author {
 public:
  Author(Thread& thread, Chance& chance, Form form) : thread_(thread), chance_(chance), c_(form == Form::calls) {}

  void phrase() {
    channel_ = chance_.percent(80) ? 0 : chance_.below(channels_per_host);
    id_ = chance_.percent(50) ? 0 : chance_.below(4);  // threads meet on the first
    with_peer_ = false;
    if (c_ && chance_.percent(30)) return synchronous();
    switch (chance_.below(11)) {
      case 0:
      case 1:
      case 2: return server("tcp", "rc");
      case 3:
      case 4:
      case 5: return client("tcp", "rc");
      case 6: return chance_.percent(50) ? server("udp", "ud") : client("udp", "ud");
      case 7: return member();
      case 8: return services();
      case 9: return move_about();
      default: return meddle();
    }
  }
  void server(std::string_view space, std::string_view qp_type) {
    say(Op::create_id, {channel(), id(), space, qp_type});
    if (chance_.percent(20)) say(Op::set_option, {channel(), id(), one_of({"reuse", "af_only", "not_af_only"})});
    say(Op::bind, {channel(), id(), server_place(), port()});
    say(Op::listen, {channel(), id(), one_of({"8", "1", "0"})});
    for (std::size_t requests = 1 + chance_.below(2); requests > 0; --requests) serve();
    if (chance_.percent(50)) say(Op::destroy_id, {channel(), id()});
  }
  // From channel to channel, while others do the same, and channels close [spec 4 #40, #41].
  void move_about() {
    id_ = 3;
    if (chance_.percent(70)) say(Op::create_id, {channel(), id(), "tcp", "rc"});
    for (std::size_t i = 2 + chance_.below(6); i > 0; --i) {
      const std::string_view from = channel_names[chance_.below(2)];
      switch (chance_.below(6)) {
        case 0: say(Op::close, {channel_names[chance_.below(2)]}); break;
        case 1: say(Op::destroy_id, {from, id()}); break;
        case 2: say(Op::write_event, {from, id(), "user"}); break;
        default: say(Op::migrate_id, {channel_names[chance_.below(2)], from, id()}); break;
      }
    }
  }
  // What the world does, at the beginning or when the first client begins.
  void weather() {
    for (std::size_t i = 1 + chance_.below(4); i > 0; --i) {
      if (chance_.percent(50)) say(Op::pause, {"1ms"});
      const auto table = values(Kind::happening);
      say(Op::happen, {table[chance_.below(table.size())].name});
    }
  }
  void client(std::string_view space, std::string_view qp_type) {
    if (chance_.percent(80)) say(Op::pause, {"1ms"});  // until others listen
    say(Op::create_id, {channel(), id(), space, qp_type});
    if (chance_.percent(20)) say(Op::bind, {channel(), id(), one_of({"here", "here6", "here_too"}), "0"});
    say(Op::resolve_addr, {channel(), id(), one_of({"unset", "here"}), client_place(), port(), "2s"});
    fetch();
    say(Op::resolve_route, {channel(), id(), "2s"});
    fetch();
    if (chance_.percent(20))
      say(Op::set_option, {channel(), id(), one_of({"response_timeout", "no_retries", "ack_timeout"})});
    if (c_) queue(id());
    say(Op::connect, {channel(), id(), "0x100", one_of({"0", "56"}), "7"});
    fetch("20s");
    if (c_) data(id(), qp_type == "ud");
    if (qp_type == "rc") {
      say(Op::init_qp_attr, {channel(), id(), one_of({"rtr", "rts"})});
      say(Op::accept_response, {channel(), id()});
    }
    end();
  }

 private:
  static constexpr std::array<std::string_view, 8> id_names{"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};
  static constexpr std::array<std::string_view, 3> channel_names{"c0", "c1", "c2"};
  static constexpr std::array<std::string_view, 4> member_names{"m0", "m1", "m2", "m3"};

  [[nodiscard]] std::string_view channel() const { return channel_names[channel_]; }
  [[nodiscard]] std::string_view id() const { return id_names[id_]; }
  std::string_view port() { return with_peer_ || chance_.percent(85) ? "7471" : "7472"; }
  std::string_view server_place() {
    if (with_peer_) return one_of({"here", "any", "any6"});
    return one_of({"here", "here", "any", "any6", "here6", "here_too"});
  }
  std::string_view client_place() {
    return with_peer_ ? "peer" : one_of({"peer", "peer", "peer6", "here", "peer_too"});
  }
  std::string_view one_of(std::initializer_list<std::string_view> names) {
    return *(names.begin() + chance_.below(names.size()));
  }

  void say(Op op, std::initializer_list<std::string_view> arguments) {
    Call call{.op = op};
    std::size_t i = 0;
    for (const std::string_view name : arguments) {
      const auto table = values(command(op).arguments[i]);
      const auto found = std::ranges::find(table, name, &Value::name);
      call.arguments[i++] = static_cast<std::uint8_t>(found - table.begin());
    }
    thread_.calls.push_back(call);
  }
  // A request's id goes to the place of the same number in the upper half.
  void fetch(std::string_view patience = "2s") {
    if (c_ && chance_.percent(20)) return say(Op::wait_event, {channel(), id_names[4 + id_]});
    say(Op::get_event, {channel(), id_names[4 + id_], patience});
  }

  void serve() {
    fetch("20s");
    const std::string_view child = id_names[4 + id_];
    if (chance_.percent(15)) say(Op::migrate_id, {channel_names[chance_.below(3)], channel(), child});
    if (chance_.percent(15))
      return say(Op::reject, {channel(), child, one_of({"28", "0"}), one_of({"0", "148", "136"})});
    if (c_) queue(child);
    say(Op::accept, {channel(), child, "0x200", one_of({"0", "196", "136"}), "7"});
    if (chance_.percent(70)) fetch();
    if (c_) data(child, false);
    if (chance_.percent(30)) say(Op::notify, {channel(), child, "comm_est"});
    if (chance_.percent(50)) say(Op::disconnect, {channel(), child});
    if (chance_.percent(40)) say(Op::destroy_id, {channel(), child});
  }
  void end() {
    if (chance_.percent(60)) fetch();
    if (chance_.percent(60)) say(Op::disconnect, {channel(), id()});
    if (chance_.percent(60)) fetch();
    if (chance_.percent(20)) {
      say(Op::pause, {"20s"});
      fetch("20s");
    }
    if (chance_.percent(60)) say(Op::destroy_id, {channel(), id()});
  }
  void member() {
    say(Op::create_id, {channel(), id(), "udp", "ud"});
    say(Op::bind, {channel(), id(), one_of({"here", "here_too", "any"}), "0"});
    if (c_) queue(id());
    for (std::size_t i = 1 + chance_.below(3); i > 0; --i) {
      say(Op::join_multicast, {channel(), id(), one_of({"group", "group", "group_too", "group6"}), member_names[i],
                               one_of({"full", "full", "send_only"})});
    }
    if (chance_.percent(60)) fetch();
    if (c_) data(id(), true);
    if (chance_.percent(70)) say(Op::leave_multicast, {channel(), member_names[1]});
    if (chance_.percent(30)) say(Op::leave_multicast, {channel(), member_names[1]});
    if (chance_.percent(60)) say(Op::destroy_id, {channel(), id()});
  }
  // --- of C programs only
  void queue(std::string_view of) {
    if (chance_.percent(15)) return;
    if (chance_.percent(15)) say(Op::create_srq, {of});
    say(Op::create_qp, {of, one_of({"small", "small", "small", "extended"})});
    for (std::size_t i = 1 + chance_.below(4); i > 0; --i) say(Op::post_recv, {of, "plain"});
    if (chance_.percent(20)) say(Op::attach, {of, one_of({"group", "group_too"})});
  }
  void data(std::string_view of, bool datagrams) {
    for (std::size_t i = 1 + chance_.below(5); i > 0; --i) {
      say(Op::post_send, {of, datagrams ? one_of({"plain", "inlined", "immediate"})
                                        : one_of({"plain", "inlined", "rdma_write", "rdma_read"})});
      if (chance_.percent(30)) say(Op::post_recv, {of, "plain"});
      if (chance_.percent(30)) say(Op::cq_event, {of});
      if (chance_.percent(30)) say(Op::pause, {"1ms"});
      if (chance_.percent(60)) say(Op::poll, {of});
    }
    if (chance_.percent(20)) say(Op::destroy_qp, {of});
  }
  // Without channels: each call waits.
  void synchronous() {
    const std::string_view space = chance_.percent(70) ? "tcp" : "udp";
    const bool serves = chance_.percent(50), endpoint = chance_.percent(50);
    const std::string_view place = serves ? one_of({"here", "any"}) : "peer";
    if (endpoint) {
      say(Op::create_ep, {id(), place, port(), space, "small"});
    } else {
      say(Op::create_sync_id, {id(), space});
      if (serves) say(Op::bind, {channel(), id(), place, port()});
      if (!serves) say(Op::resolve_addr, {channel(), id(), "unset", place, port(), "2s"});
      if (!serves) say(Op::resolve_route, {channel(), id(), "2s"});
      if (!serves) queue(id());
    }
    std::string_view connected = id();
    if (serves) {
      connected = id_names[4 + id_];
      say(Op::listen, {channel(), id(), "8"});
      say(Op::get_request, {id(), connected});
      queue(connected);
      say(Op::accept, {channel(), connected, one_of({"0x200", "0"}), "0", "7"});
    } else {
      say(Op::connect, {channel(), id(), one_of({"0x100", "0"}), "0", "7"});
    }
    data(connected, space == "udp");
    if (chance_.percent(20)) say(Op::migrate_id, {channel(), channel(), connected});
    if (chance_.percent(60)) say(Op::disconnect, {channel(), connected});
    if (chance_.percent(60)) say(Op::destroy_id, {channel(), connected});
  }
  void services() {
    say(Op::create_id, {channel(), id(), "udp", "ud"});
    say(Op::bind, {channel(), id(), "here", "0"});
    say(Op::resolve_service, {channel(), id()});
    fetch();
    say(Op::query_services, {channel(), id()});
  }
  void meddle() {
    for (std::size_t i = 2 + chance_.below(5); i > 0; --i) {
      switch (chance_.below(6)) {
        case 0: say(Op::destroy_id, {channel(), id_names[chance_.below(8)]}); break;
        case 1: say(Op::migrate_id, {channel_names[chance_.below(3)], channel(), id_names[chance_.below(8)]}); break;
        case 2: say(Op::happen, {values(Kind::happening)[chance_.below(values(Kind::happening).size())].name}); break;
        case 3:
          say(Op::get_event,
              {channel_names[chance_.below(3)], id_names[4 + chance_.below(4)], one_of({"0s", "100ms"})});
          break;
        case 4: say(Op::write_event, {channel(), id_names[chance_.below(4)], one_of({"user", "internal"})}); break;
        default: say(Op::close, {channel_names[chance_.below(3)]}); break;
      }
    }
  }

  Thread& thread_;
  Chance& chance_;
  const bool c_;  // a program in C
  std::size_t channel_ = 0, id_ = 0;
  bool with_peer_ = true;  // the first two threads of a program have something to do with each other
};

template <class List>
auto at(List& list, std::size_t index) {
  return list.begin() + static_cast<std::ptrdiff_t>(index);
}

}  // namespace

void mutate(Program& program, Chance& chance, Form form) {
  if (program.threads.empty()) program.threads.emplace_back();
  Thread& thread = program.threads[chance.below(program.threads.size())];
  const std::size_t what = chance.below(10);
  if (thread.calls.size() < calls_max && (what < 3 || thread.calls.empty())) {
    thread.calls.insert(at(thread.calls, chance.below(thread.calls.size() + 1)), random_call(chance, form));
  } else if (thread.calls.empty()) {
    return;
  } else if (what < 5) {
    thread.calls.erase(at(thread.calls, chance.below(thread.calls.size())));
  } else if (what == 5) {
    program.lossy = !program.lossy;
  } else {
    Call& call = thread.calls[chance.below(thread.calls.size())];
    if (const std::size_t count = arguments_of(call.op)) randomise(call, chance.below(count), chance);
  }
}

Program generate(std::uint64_t seed, Form form) {
  Chance chance(seed);
  Program program{.lossy = chance.percent(15), .threads = {}};
  // A server over there and a client here.
  const bool datagrams = chance.percent(20);
  const std::string_view space = datagrams ? "udp" : "tcp", qp_type = datagrams ? "ud" : "rc";
  Author(program.threads.emplace_back(Thread{Side::far, {}}), chance, form).server(space, qp_type);
  Author(program.threads.emplace_back(Thread{Side::near, {}}), chance, form).client(space, qp_type);
  if (chance.percent(15)) Author(program.threads.emplace_back(Thread{Side::near, {}}), chance, form).weather();
  if (chance.percent(25)) {
    const Side side = chance.percent(50) ? Side::near : Side::far;
    for (int i = 0; i < 2; ++i) Author(program.threads.emplace_back(Thread{side, {}}), chance, form).move_about();
  }
  for (std::size_t more = chance.below(3); more > 0 && program.threads.size() < threads_max; --more) {
    Author(program.threads.emplace_back(Thread{chance.percent(50) ? Side::near : Side::far, {}}), chance, form)
        .phrase();
  }
  for (Thread& thread : program.threads) {
    while (thread.calls.size() < 30 && chance.percent(30)) Author(thread, chance, form).phrase();
  }
  if (chance.percent(75)) {
    for (std::size_t changes = 1 + chance.below(8); changes > 0; --changes) mutate(program, chance, form);
  }
  for (Thread& thread : program.threads) thread.calls.resize(std::min(thread.calls.size(), calls_max));
  return program;
}

}  // namespace hawser::fuzz
