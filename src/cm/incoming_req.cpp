// A REQ arrives [spec 5.5, 5.6]: first the connections that we have, then the listeners.
#include <optional>

#include "cm/answers.hpp"
#include "cm/demux.hpp"
#include "cm/endpoint.hpp"

namespace hawser::cm {
namespace {

struct Refusal {
  RejectReason reason{};
  std::vector<std::byte> additional_info;
};

// REJ "invalid GID" says which GID would have been right [spec 5.4.11].
Refusal invalid_gid(RejectReason reason, const verbs::Device& device) {
  Refusal refusal{reason, {}};
  if (const auto gid = device.gid(0)) {
    for (const std::uint8_t byte : gid->bytes) refusal.additional_info.push_back(std::byte{byte});
  }
  return refusal;
}

bool is_path_to(const verbs::Device& device, const PathFields& path) {
  return !path.local_gid.is_any() && device.gid_index(path.remote_gid).has_value();
}

// Why this REQ cannot become a connection here, whoever listens.
std::optional<Refusal> check(const verbs::Device& device, const Req& req) {
  if (!is_path_to(device, req.primary)) return invalid_gid(RejectReason::invalid_gid, device);
  const bool has_alternate = req.alternate.local_lid != 0;
  if (has_alternate && !is_path_to(device, req.alternate)) return invalid_gid(RejectReason::invalid_alt_gid, device);
  // What would not fit through our interface is refused now, not lost later [spec 5.7.2].
  const bool fits = req.path_mtu >= static_cast<std::uint8_t>(Mtu::mtu_256) &&
                    req.path_mtu <= static_cast<std::uint8_t>(device.active_mtu());
  if (!fits) return Refusal{RejectReason::invalid_mtu, {}};
  const bool reliable_connection = req.transport_service_type == 0;
  if (!reliable_connection) return Refusal{RejectReason::consumer_defined, {}};
  return std::nullopt;
}

// The REQ's path seen from here.
Path path_of(const Inbox::Arrival& arrival, const Req& req) {
  const PathFields& p = req.primary;
  Path path;
  path.device = arrival.device;
  path.local = p.remote_gid;
  path.remote = p.local_gid;
  path.interface = arrival.from.interface;
  path.mtu = static_cast<Mtu>(req.path_mtu);
  path.traffic_class = p.traffic_class;
  if (p.hop_limit > 1) path.hop_limit = p.hop_limit;
  path.sl = p.sl;
  path.rate = p.packet_rate;
  path.packet_life_time = static_cast<std::uint8_t>(p.local_ack_timeout - (p.local_ack_timeout > 0 ? 1 : 0));
  path.flow_label = p.flow_label;
  path.pkey = req.pkey;
  return path;
}

Event event_of(const MadHeader& header, const Req& req, const Path& path) {
  Event event;
  event.kind = EventKind::req_received;
  event.private_data = req.private_data;
  event.req.path = path;
  event.req.service_id = req.service_id;
  event.req.remote_guid = req.local_ca_guid;
  event.req.remote_qpn = req.local_qpn;
  event.req.starting_psn = req.starting_psn;
  event.req.responder_resources = req.responder_resources;
  event.req.initiator_depth = req.initiator_depth;
  event.req.retry_count = req.retry_count;
  event.req.rnr_retry_count = req.rnr_retry_count;
  event.req.flow_control = req.flow_control;
  event.req.srq = req.srq;
  event.req.ece = {req.vendor_id, header.attribute_modifier};
  return event;
}

}  // namespace

bool is_our_partition(PKey pkey) { return (pkey.value & 0x7FFF) == (pkey_default.value & 0x7FFF); }

std::optional<int> offer(const std::vector<Listeners::Ref>& listeners, Endpoint& endpoint, const Event& event) {
  std::optional<int> result;
  for (const Listeners::Ref& listener : listeners) {
    endpoint.set_handler(listener->handler);
    const std::optional<int> answer = listener->call(endpoint.connection(), event);
    if (!answer) continue;
    result = answer;
    if (*answer != -EADDRNOTAVAIL) break;
  }
  return result;
}

// [spec 5.5.8, 5.6.2, 5.6.4, 5.6.9, 7 I22, 4 #63]
void process_req(Core& core, const Inbox::Arrival& arrival, const MadHeader& header, const Req& req) {
  core.counters.req_received.count();
  if (const auto known = core.tables.find_remote_id(req.local_comm_id, req.local_ca_guid)) {
    known->on_duplicate_req(arrival.from);
    return;
  }
  if (core.tables.find_remote_qpn(req.local_qpn, req.local_ca_guid) != nullptr) {
    answer_stale(core, Answered::req, header.tid, req.local_comm_id, {}, req.local_qpn, req.local_ca_guid,
                 arrival.from);
    return;
  }
  const auto refuse = [&](RejectReason reason, std::span<const std::byte> additional_info) {
    answer_rej(core, Answered::req, header.tid, req.local_comm_id, {}, reason, additional_info, arrival.from);
  };
  const std::vector<Listeners::Ref> listeners = core.listeners.find(arrival.device, req.service_id);
  if (listeners.empty()) return refuse(RejectReason::invalid_service_id, {});
  if (!is_our_partition(req.pkey)) return core.counters.unmatched.count();
  if (const auto refusal = check(*arrival.device, req)) return refuse(refusal->reason, refusal->additional_info);

  const auto created = Endpoint::create(core, nullptr);
  if (!created) return core.counters.unmatched.count();  // no id left: silence, and the peer tries again
  Endpoint& endpoint = **created;
  const Path path = path_of(arrival, req);
  endpoint.become_req_rcvd(header, req, path);
  endpoint.begin_req_handler();
  const std::optional<int> result = offer(listeners, endpoint, event_of(header, req, path));
  if (!result) {
    static_cast<void>(endpoint.send_rej(static_cast<std::uint16_t>(RejectReason::invalid_service_id), {}, {}));
  }
  endpoint.end_req_handler(result.value_or(-ENOENT));
}

}  // namespace hawser::cm
