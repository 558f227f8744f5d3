#include "cm/demux.hpp"

#include "base/probe.hpp"
#include "cm/answers.hpp"
#include "cm/endpoint.hpp"

namespace hawser::cm {
namespace {

struct Router {
  Core& core;
  const Inbox::Arrival& arrival;
  const MadHeader& header;

  [[nodiscard]] std::shared_ptr<Endpoint> find(CommId our_id) const {
    auto endpoint = core.tables.find_local(our_id);
    if (endpoint == nullptr) core.counters.unmatched.count();
    return endpoint;
  }

  void operator()(const Req& req) const { process_req(core, arrival, header, req); }

  void operator()(const Rep& rep) const {
    const auto endpoint = find(rep.remote_comm_id);
    if (endpoint == nullptr) HW_PROBE("cm-rep-after-destroy");
    if (endpoint != nullptr) endpoint->on_rep(header, rep, arrival.from);
  }
  void operator()(const Rtu& rtu) const {
    if (const auto endpoint = find(rtu.remote_comm_id)) endpoint->on_rtu(rtu);
  }
  void operator()(const Mra& mra) const {
    if (const auto endpoint = find(mra.remote_comm_id)) endpoint->on_mra(mra);
  }
  void operator()(const Drep& drep) const {
    if (const auto endpoint = find(drep.remote_comm_id)) endpoint->on_drep(drep);
  }

  void operator()(const Dreq& dreq) const {
    const auto endpoint = core.tables.find_local(dreq.remote_comm_id);
    if (endpoint != nullptr && endpoint->remote_id() == dreq.local_comm_id) {
      endpoint->on_dreq(header, dreq, arrival.from);
    } else {
      answer_drep(core, header, dreq, arrival.from);
    }
  }

  // The sender of REJ(timeout) may never have learnt our id: it names itself by its GUID.
  void operator()(const Rej& rej) const {
    if (rej.reason != static_cast<std::uint16_t>(RejectReason::timeout)) {
      if (const auto endpoint = find(rej.remote_comm_id)) endpoint->on_rej(rej);
      return;
    }
    const Guid sender(read_bits(rej.additional_info, 0, 0, 64));
    if (const auto endpoint = core.tables.find_remote_id(rej.local_comm_id, sender)) {
      endpoint->on_rej(rej);
    } else {
      core.counters.unmatched.count();
    }
  }

  void operator()(const SidrReq& req) const { process_sidr_req(core, arrival, header, req); }
  void operator()(const SidrRep& rep) const {
    if (const auto endpoint = find(rep.request_id)) endpoint->on_sidr_rep(header, rep);
  }

  // Alternate paths do not exist on RoCE [spec 5.4.7, 5.8.3].
  void operator()(const Lap&) const { core.counters.unmatched.count(); }
  void operator()(const Apr&) const { core.counters.unmatched.count(); }
};

struct Processor {
  Core& core;

  void operator()(const Inbox::Arrival& arrival) const {
    const auto message = decode(arrival.mad);
    if (!message) {
      core.counters.malformed.count();
      return;
    }
    std::visit(Router{core, arrival, message->header}, message->body);
  }
  void operator()(const Inbox::Unreachable& unreachable) const {
    const auto message = decode(unreachable.mad);
    if (!message) return core.counters.malformed.count();
    CommId ours;
    if (const auto* req = std::get_if<Req>(&message->body)) ours = req->local_comm_id;
    if (const auto* sidr = std::get_if<SidrReq>(&message->body)) ours = sidr->request_id;
    if (const auto endpoint = core.tables.find_local(ours)) endpoint->on_unreachable(unreachable.remote);
  }
  void operator()(Qpn local_qpn) const {
    if (const auto endpoint = core.tables.find_awaiting_rtu(local_qpn)) {
      static_cast<void>(endpoint->notify_established());  // the RTU may have come in the meantime
    }
  }
  void operator()(const std::weak_ptr<Endpoint>& established) const {
    if (const auto endpoint = established.lock()) endpoint->on_established_posted();
  }
};

}  // namespace

void process(Core& core, const Inbox::Item& item) { std::visit(Processor{core}, item); }

}  // namespace hawser::cm
