// One Manager against a peer that a test plays by hand, message by message.
#pragma once

#include "cm/test_net.hpp"

namespace hawser::cm {

struct Script {
  static constexpr CommId their_id{0x77};
  static constexpr Guid their_guid{0xBEEF};
  static constexpr Qpn their_qpn{0x22}, our_qpn{0x11};
  static constexpr std::uint64_t their_tid = 0x9900000077;

  TestNet net;
  Host us{net, 1};
  const Gid peer = Gid::v4(0x0A000002);
  Connection* connection = nullptr;
  std::vector<EventKind> events;
  std::function<int(const Event&)> on_event;

  ~Script() {
    if (connection != nullptr) us.manager.destroy(connection);
  }
  Handler handler() {
    return [this](Connection& c, const Event& event) {
      connection = &c;
      events.push_back(event.kind);
      const int result = on_event ? on_event(event) : 0;
      if (result != 0) connection = nullptr;
      return result;
    };
  }
  void peer_sends(const Body& body, const MadHeader& header = {.tid = their_tid}) { peer_sends(encode(header, body)); }
  void peer_sends(const verbs::Mad& mad) {
    verbs::MadAddress from;
    from.local = us.gid;
    from.remote = peer;
    us.receive(from, mad);
    static_cast<void>(net.dispatcher.run());
  }

  void create() { connection = *us.manager.create(handler()); }
  Status send_req(std::uint8_t retries = 0) {
    ReqParam param;
    param.path = us.path_to(peer);
    param.service_id = test_service;
    param.qpn = our_qpn;
    param.max_cm_retries = retries;
    return connection->send_req(param);
  }
  Status send_rep() {
    RepParam param;
    param.qpn = our_qpn;
    return connection->send_rep(param);
  }
  [[nodiscard]] Req req(std::uint8_t retries = 0) const {
    Req m;
    m.local_comm_id = their_id;
    m.service_id = test_service;
    m.local_ca_guid = their_guid;
    m.local_qpn = their_qpn;
    m.pkey = pkey_default;
    m.path_mtu = 3;
    m.local_cm_response_timeout = 20;
    m.remote_cm_response_timeout = 20;
    m.max_cm_retries = retries;
    m.primary.local_gid = peer;
    m.primary.remote_gid = us.gid;
    m.primary.hop_limit = 64;
    m.primary.local_ack_timeout = 17;
    return m;
  }
  [[nodiscard]] Rep rep() const {
    Rep m;
    m.local_comm_id = their_id;
    m.remote_comm_id = connection->local_id();
    m.local_qpn = their_qpn;
    m.local_ca_guid = their_guid;
    m.target_ack_delay = 15;
    return m;
  }
  [[nodiscard]] Rtu rtu() const { return {.local_comm_id = their_id, .remote_comm_id = connection->local_id()}; }
  [[nodiscard]] Mra mra(Answered answered, std::uint8_t service_timeout = 24) const {
    return {.local_comm_id = their_id,
            .remote_comm_id = connection->local_id(),
            .answered = answered,
            .service_timeout = service_timeout};
  }
  [[nodiscard]] Rej rej(unsigned reason, Answered answered) const {
    Rej m{.local_comm_id = their_id, .remote_comm_id = connection->local_id(), .answered = answered};
    m.reason = static_cast<std::uint16_t>(reason);
    return m;
  }
  [[nodiscard]] Rej rej_timeout(Guid guid) const {
    Rej m = rej(4, Answered::other);
    m.remote_comm_id = {};
    write_bits(m.additional_info, 0, 0, 64, guid.value);
    m.additional_info_length = 8;
    return m;
  }
  [[nodiscard]] Dreq dreq(Qpn qpn = our_qpn) const {
    return {.local_comm_id = their_id, .remote_comm_id = connection->local_id(), .remote_qpn = qpn};
  }
  Status send_sidr_req(std::uint8_t retries = 0) {
    SidrReqParam param;
    param.path = us.path_to(peer);
    param.service_id = test_service;
    param.max_cm_retries = retries;
    return connection->send_sidr_req(param);
  }
  [[nodiscard]] SidrReq sidr_req() const {
    return {.request_id = their_id, .pkey = pkey_default, .service_id = test_service};
  }
  [[nodiscard]] SidrRep sidr_rep(SidrStatus status = SidrStatus::success) const {
    SidrRep m;
    m.request_id = connection->local_id();
    m.status = static_cast<std::uint8_t>(status);
    m.qpn = their_qpn;
    m.qkey = QKey(0x01234567);
    m.service_id = test_service;
    return m;
  }
  [[nodiscard]] Drep drep() const { return {.local_comm_id = their_id, .remote_comm_id = connection->local_id()}; }

  void receive_req(std::uint8_t retries = 0) { receive_request(req(retries)); }
  void receive_request(const Body& request) {
    const auto listener = *us.manager.listen(us.device, test_service, handler());
    peer_sends(request);
    us.manager.unlisten(listener);
  }
  // "ESTABLISHED_A" is the active side, "ESTABLISHED_P" the passive one.
  void bring_to(const std::string& state);
  // What we sent since the last call: "REJ28/req REP SIDR_REP0"; "/0" when a REJ carries no id of ours.
  std::string sent();

  std::size_t sent_seen = 0;
};

inline void Script::bring_to(const std::string& state) {
  const auto ok = [](const Status& status) {
    if (!status) std::abort();
  };
  const auto active_until_rep = [&] {
    create();
    ok(send_req());
    peer_sends(rep());
  };
  const auto passive_until_rep = [&] {
    receive_req();
    ok(send_rep());
  };
  const auto active_established = [&] {
    active_until_rep();
    ok(connection->send_rtu({}));
  };
  const std::map<std::string, std::function<void()>> ways{
      {"IDLE", [&] { create(); }},
      {"REQ_SENT",
       [&] {
         create();
         ok(send_req());
       }},
      {"MRA_REQ_RCVD",
       [&] {
         create();
         ok(send_req());
         peer_sends(mra(Answered::req));
       }},
      {"REP_RCVD", active_until_rep},
      {"MRA_REP_SENT",
       [&] {
         active_until_rep();
         ok(connection->prepare_mra(24));
       }},
      {"ESTABLISHED_A", active_established},
      {"REQ_RCVD", [&] { receive_req(); }},
      {"MRA_REQ_SENT",
       [&] {
         receive_req();
         ok(connection->prepare_mra(24));
       }},
      {"REP_SENT", passive_until_rep},
      {"MRA_REP_RCVD",
       [&] {
         passive_until_rep();
         peer_sends(mra(Answered::rep));
       }},
      {"ESTABLISHED_P",
       [&] {
         passive_until_rep();
         peer_sends(rtu());
       }},
      {"DREQ_SENT",
       [&] {
         active_established();
         ok(connection->send_dreq({}));
       }},
      {"DREQ_RCVD",
       [&] {
         active_established();
         peer_sends(dreq());
       }},
      {"TIMEWAIT",
       [&] {
         active_established();
         ok(connection->send_dreq({}));
         peer_sends(drep());
       }},
      {"SIDR_REQ_SENT",
       [&] {
         create();
         ok(send_sidr_req());
       }},
      {"SIDR_REQ_RCVD", [&] { receive_request(sidr_req()); }},
  };
  ways.at(state)();
  if (state.substr(0, state.find("_A")) != name(connection->state()) &&
      state.substr(0, state.find("_P")) != name(connection->state())) {
    std::abort();
  }
  events.clear();
  sent_seen = us.sent.size();
}

inline std::string Script::sent() {
  const auto part = [](Answered a) { return a == Answered::req ? "/req" : a == Answered::rep ? "/rep" : "/other"; };
  std::string text;
  for (; sent_seen < us.sent.size(); ++sent_seen) {
    const Message& m = us.sent[sent_seen].message;
    if (!text.empty()) text += ' ';
    text += name(attribute_of(m));
    if (const Rej* r = as<Rej>(m)) {
      text += std::to_string(r->reason) + part(r->answered) + (r->local_comm_id.value == 0 ? "/0" : "");
    } else if (const Mra* a = as<Mra>(m)) {
      text += part(a->answered);
    } else if (const SidrRep* p = as<SidrRep>(m)) {
      text += std::to_string(p->status);
    }
  }
  return text.empty() ? "-" : text;
}

}  // namespace hawser::cm
