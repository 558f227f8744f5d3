#include "cm/types.hpp"

namespace hawser::cm {

const char* name(State state) {
  switch (state) {
    case State::idle: return "IDLE";
    case State::listen: return "LISTEN";
    case State::req_sent: return "REQ_SENT";
    case State::req_rcvd: return "REQ_RCVD";
    case State::mra_req_sent: return "MRA_REQ_SENT";
    case State::mra_req_rcvd: return "MRA_REQ_RCVD";
    case State::rep_sent: return "REP_SENT";
    case State::rep_rcvd: return "REP_RCVD";
    case State::mra_rep_sent: return "MRA_REP_SENT";
    case State::mra_rep_rcvd: return "MRA_REP_RCVD";
    case State::established: return "ESTABLISHED";
    case State::dreq_sent: return "DREQ_SENT";
    case State::dreq_rcvd: return "DREQ_RCVD";
    case State::timewait: return "TIMEWAIT";
    case State::sidr_req_sent: return "SIDR_REQ_SENT";
    case State::sidr_req_rcvd: return "SIDR_REQ_RCVD";
  }
  return "unknown";
}

const char* name(RejectReason reason) {
  switch (reason) {
    case RejectReason::no_qp: return "no QP";
    case RejectReason::no_eec: return "no EE context";
    case RejectReason::no_resources: return "no resources";
    case RejectReason::timeout: return "timeout";
    case RejectReason::unsupported: return "unsupported request";
    case RejectReason::invalid_comm_id: return "invalid communication id";
    case RejectReason::invalid_comm_instance: return "invalid communication instance";
    case RejectReason::invalid_service_id: return "invalid service id: nobody listens";
    case RejectReason::invalid_transport_type: return "invalid transport type";
    case RejectReason::stale_connection: return "stale connection";
    case RejectReason::no_rdc: return "no RDC";
    case RejectReason::invalid_gid: return "invalid GID";
    case RejectReason::invalid_lid: return "invalid LID";
    case RejectReason::invalid_sl: return "invalid service level";
    case RejectReason::invalid_traffic_class: return "invalid traffic class";
    case RejectReason::invalid_hop_limit: return "invalid hop limit";
    case RejectReason::invalid_packet_rate: return "invalid packet rate";
    case RejectReason::invalid_alt_gid: return "invalid alternate GID";
    case RejectReason::invalid_alt_lid: return "invalid alternate LID";
    case RejectReason::invalid_alt_sl: return "invalid alternate service level";
    case RejectReason::invalid_alt_traffic_class: return "invalid alternate traffic class";
    case RejectReason::invalid_alt_hop_limit: return "invalid alternate hop limit";
    case RejectReason::invalid_alt_packet_rate: return "invalid alternate packet rate";
    case RejectReason::port_cm_redirect: return "port and CM redirection";
    case RejectReason::port_redirect: return "port redirection";
    case RejectReason::invalid_mtu: return "invalid path MTU";
    case RejectReason::insufficient_responder_resources: return "insufficient responder resources";
    case RejectReason::consumer_defined: return "refused by the program";
    case RejectReason::invalid_rnr_retry: return "invalid RNR retry count";
    case RejectReason::duplicate_comm_id: return "duplicate communication id";
    case RejectReason::invalid_class_version: return "invalid class version";
    case RejectReason::invalid_flow_label: return "invalid flow label";
    case RejectReason::invalid_alt_flow_label: return "invalid alternate flow label";
    case RejectReason::vendor_option: return "vendor option not supported";
  }
  return "unknown";
}

const char* name(SidrStatus status) {
  switch (status) {
    case SidrStatus::success: return "success";
    case SidrStatus::unsupported: return "service not supported";
    case SidrStatus::reject: return "rejected";
    case SidrStatus::no_qp: return "no QP";
    case SidrStatus::redirect: return "redirect";
    case SidrStatus::unsupported_version: return "version not supported";
  }
  return "unknown";
}

const char* name(EventKind kind) {
  switch (kind) {
    case EventKind::req_received: return "REQ_RECEIVED";
    case EventKind::req_error: return "REQ_ERROR";
    case EventKind::rep_received: return "REP_RECEIVED";
    case EventKind::rep_error: return "REP_ERROR";
    case EventKind::rtu_received: return "RTU_RECEIVED";
    case EventKind::user_established: return "USER_ESTABLISHED";
    case EventKind::mra_received: return "MRA_RECEIVED";
    case EventKind::rej_received: return "REJ_RECEIVED";
    case EventKind::dreq_received: return "DREQ_RECEIVED";
    case EventKind::dreq_error: return "DREQ_ERROR";
    case EventKind::drep_received: return "DREP_RECEIVED";
    case EventKind::timewait_exit: return "TIMEWAIT_EXIT";
    case EventKind::sidr_req_received: return "SIDR_REQ_RECEIVED";
    case EventKind::sidr_req_error: return "SIDR_REQ_ERROR";
    case EventKind::sidr_rep_received: return "SIDR_REP_RECEIVED";
  }
  return "unknown";
}

}  // namespace hawser::cm
