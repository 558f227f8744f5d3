// A SIDR_REQ arrives [spec 5.5.22]: a repeated one is answered as before, a new one goes to the listeners.
#include "base/probe.hpp"
#include "cm/answers.hpp"
#include "cm/demux.hpp"
#include "cm/endpoint.hpp"

namespace hawser::cm {
namespace {

// The message describes no path: back the way it came.
Path path_of(const Inbox::Arrival& arrival) {
  Path path;
  path.device = arrival.device;
  path.local = arrival.from.local;
  path.remote = arrival.from.remote;
  path.interface = arrival.from.interface;
  path.mtu = arrival.device->active_mtu();
  path.traffic_class = arrival.from.traffic_class;
  return path;
}

Event event_of(const SidrReq& req, const Path& path) {
  Event event;
  event.kind = EventKind::sidr_req_received;
  event.private_data = req.private_data;
  event.sidr_req.path = path;
  event.sidr_req.service_id = req.service_id;
  return event;
}

void on_repeated(Core& core, const Inbox::Arrival& arrival, const std::optional<verbs::Mad>& answer) {
  core.counters.duplicates.count();
  if (!answer) return;  // the program has not answered yet
  HW_PROBE("cm-repeated-sidr-req-answered");
  core.sender.send(arrival.from, *answer);
}

}  // namespace

void process_sidr_req(Core& core, const Inbox::Arrival& arrival, const MadHeader& header, const SidrReq& req) {
  core.counters.sidr_req_received.count();
  if (!is_our_partition(req.pkey)) return core.counters.unmatched.count();
  const SidrRequests::Key key{arrival.from.remote, arrival.from.interface, req.request_id, header.tid};
  const auto admission = core.sidr_requests.admit(key, core.dispatcher.world().now());
  if (!admission.fresh) return on_repeated(core, arrival, admission.repeated);

  const std::vector<Listeners::Ref> listeners = core.listeners.find(arrival.device, req.service_id);
  if (listeners.empty()) {
    core.sidr_requests.forget(key);
    return answer_sidr(core, header, req, SidrStatus::unsupported, arrival.from);
  }
  const auto created = Endpoint::create(core, nullptr);
  if (!created) {  // no id left: silence, and the peer tries again
    core.sidr_requests.forget(key);
    return core.counters.unmatched.count();
  }
  Endpoint& endpoint = **created;
  const Path path = path_of(arrival);
  endpoint.become_sidr_req_rcvd(key, req.service_id, path);
  endpoint.begin_req_handler();
  const std::optional<int> result = offer(listeners, endpoint, event_of(req, path));
  if (!result) static_cast<void>(endpoint.send_sidr_rep({.status = SidrStatus::unsupported}));
  endpoint.end_req_handler(result.value_or(-ENOENT));
}

}  // namespace hawser::cm
