#include "hawser/reject.hpp"

#include <array>

#include <fmt/format.h>

namespace hawser {
namespace {

struct Entry {
  RejectReason reason;
  std::string_view name;
  std::string_view meaning;  // for a program; empty: the name says it
};

constexpr std::string_view path_wrong = "the request describes a path that the peer's port cannot have";
constexpr std::string_view alternate_wrong = "the request's alternate path is wrong; RoCE has none";

constexpr std::array entries{
    Entry{RejectReason::no_qp, "no QP", "the peer could not make a queue pair"},
    Entry{RejectReason::no_eec, "no EEC", "the peer has no end-to-end context (RD, unused)"},
    Entry{RejectReason::no_resources, "no resources", "the peer is out of memory or at a limit; later it may accept"},
    Entry{RejectReason::timeout, "timeout",
          "the peer gave up waiting for our next message: it was lost, or we took too long to accept"},
    Entry{RejectReason::unsupported, "unsupported request", "the peer does not know this kind of request"},
    Entry{RejectReason::invalid_comm_id, "invalid communication ID", "the peer knows of no such connection (any more)"},
    Entry{RejectReason::invalid_comm_instance, "invalid communication instance", ""},
    Entry{RejectReason::invalid_service_id, "invalid service ID",
          "nobody listens on this port there, or not on this address or in this port space"},
    Entry{RejectReason::invalid_transport_type, "invalid transport service type",
          "the peer's listener wants another queue pair type"},
    Entry{RejectReason::stale_connection, "stale connection",
          "the peer has a connection of an earlier life of our queue pair, and has ended it now: try again"},
    Entry{RejectReason::rdc_does_not_exist, "RDC does not exist", ""},
    Entry{RejectReason::invalid_gid, "primary path: remote port GID rejected",
          "the address is not of the device that the request came in by"},
    Entry{RejectReason::invalid_lid, "primary path: remote port LID rejected", path_wrong},
    Entry{RejectReason::invalid_sl, "primary path: invalid SL", path_wrong},
    Entry{RejectReason::invalid_traffic_class, "primary path: invalid traffic class", path_wrong},
    Entry{RejectReason::invalid_hop_limit, "primary path: invalid hop limit", path_wrong},
    Entry{RejectReason::invalid_packet_rate, "primary path: packet rate rejected", path_wrong},
    Entry{RejectReason::invalid_alt_gid, "alternate path: remote port GID rejected", alternate_wrong},
    Entry{RejectReason::invalid_alt_lid, "alternate path: remote port LID rejected", alternate_wrong},
    Entry{RejectReason::invalid_alt_sl, "alternate path: invalid SL", alternate_wrong},
    Entry{RejectReason::invalid_alt_traffic_class, "alternate path: invalid traffic class", alternate_wrong},
    Entry{RejectReason::invalid_alt_hop_limit, "alternate path: invalid hop limit", alternate_wrong},
    Entry{RejectReason::invalid_alt_packet_rate, "alternate path: packet rate rejected", alternate_wrong},
    Entry{RejectReason::port_cm_redirect, "port and CM redirection", "the peer wants to be asked at another address"},
    Entry{RejectReason::port_redirect, "port redirection", "the peer wants to be asked at another address"},
    Entry{RejectReason::invalid_mtu, "invalid payload MTU",
          "our path MTU is above what the peer's interface carries: make the MTUs of both interfaces equal"},
    Entry{RejectReason::insufficient_responder_resources, "insufficient responder resources",
          "initiator_depth asks for more RDMA READs at once than the peer answers"},
    Entry{RejectReason::consumer_defined, "consumer defined",
          "the peer's program said no (or could not accept); the private data may say why"},
    Entry{RejectReason::invalid_rnr_retry, "invalid RNR retry count", ""},
    Entry{RejectReason::duplicate_local_comm_id, "duplicate local communication ID",
          "the peer takes our request for one that it has already"},
    Entry{RejectReason::invalid_class_version, "invalid class version",
          "the peer speaks another version of the protocol"},
    Entry{RejectReason::invalid_flow_label, "primary path: invalid flow label", path_wrong},
    Entry{RejectReason::invalid_alt_flow_label, "alternate path: invalid flow label", alternate_wrong},
    Entry{RejectReason::vendor_option_not_supported, "vendor option is not supported",
          "the peer does not take the vendor options (ECE) that we asked for"},
};

const Entry* find(RejectReason reason) {
  for (const Entry& entry : entries) {
    if (entry.reason == reason) return &entry;
  }
  return nullptr;
}

}  // namespace

std::string_view name(RejectReason reason) {
  const Entry* const entry = find(reason);
  return entry != nullptr ? entry->name : "reserved";
}

std::string explain(RejectReason reason) {
  const auto number = static_cast<unsigned>(reason);
  const Entry* const entry = find(reason);
  if (entry == nullptr) return fmt::format("reject reason {}, which has no meaning in the specification", number);
  if (entry->meaning.empty()) return fmt::format("{} ({})", entry->name, number);
  return fmt::format("{} ({}): {}", entry->name, number, entry->meaning);
}

std::string_view name(SidrStatus status) {
  switch (status) {
    case SidrStatus::success: return "success";
    case SidrStatus::unsupported: return "service ID not supported";
    case SidrStatus::reject: return "rejected by service provider";
    case SidrStatus::no_qp: return "no QP available";
    case SidrStatus::redirect: return "request should be redirected";
    case SidrStatus::unsupported_version: return "version not supported";
  }
  return "reserved";
}

std::string explain(SidrStatus status) {
  const auto number = static_cast<unsigned>(status);
  std::string said = fmt::format("{} ({})", name(status), number);
  switch (status) {
    case SidrStatus::unsupported:
      return said + ": nobody listens on this port there, or not on this address or in this port space";
    case SidrStatus::reject: return said + ": the peer's program said no; the private data may say why";
    case SidrStatus::no_qp: return said + ": the peer has no queue pair for it now";
    default: return said;
  }
}

}  // namespace hawser
