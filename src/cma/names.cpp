#include "cma/types.hpp"

namespace hawser::cma {

const char* name(State state) {
  switch (state) {
    case State::idle: return "IDLE";
    case State::addr_query: return "ADDR_QUERY";
    case State::addr_resolved: return "ADDR_RESOLVED";
    case State::route_query: return "ROUTE_QUERY";
    case State::route_resolved: return "ROUTE_RESOLVED";
    case State::connect: return "CONNECT";
    case State::disconnect: return "DISCONNECT";
    case State::addr_bound: return "ADDR_BOUND";
    case State::listen: return "LISTEN";
    case State::device_removal: return "DEVICE_REMOVAL";
    case State::destroying: return "DESTROYING";
    case State::addrinfo_query: return "ADDRINFO_QUERY";
    case State::addrinfo_resolved: return "ADDRINFO_RESOLVED";
    case State::binding: return "BINDING";
    case State::resolving: return "RESOLVING";
  }
  return "UNKNOWN";
}

const char* name(EventType type) {
  switch (type) {
    case EventType::addr_resolved: return "RDMA_CM_EVENT_ADDR_RESOLVED";
    case EventType::addr_error: return "RDMA_CM_EVENT_ADDR_ERROR";
    case EventType::route_resolved: return "RDMA_CM_EVENT_ROUTE_RESOLVED";
    case EventType::route_error: return "RDMA_CM_EVENT_ROUTE_ERROR";
    case EventType::connect_request: return "RDMA_CM_EVENT_CONNECT_REQUEST";
    case EventType::connect_response: return "RDMA_CM_EVENT_CONNECT_RESPONSE";
    case EventType::connect_error: return "RDMA_CM_EVENT_CONNECT_ERROR";
    case EventType::unreachable: return "RDMA_CM_EVENT_UNREACHABLE";
    case EventType::rejected: return "RDMA_CM_EVENT_REJECTED";
    case EventType::established: return "RDMA_CM_EVENT_ESTABLISHED";
    case EventType::disconnected: return "RDMA_CM_EVENT_DISCONNECTED";
    case EventType::device_removal: return "RDMA_CM_EVENT_DEVICE_REMOVAL";
    case EventType::multicast_join: return "RDMA_CM_EVENT_MULTICAST_JOIN";
    case EventType::multicast_error: return "RDMA_CM_EVENT_MULTICAST_ERROR";
    case EventType::addr_change: return "RDMA_CM_EVENT_ADDR_CHANGE";
    case EventType::timewait_exit: return "RDMA_CM_EVENT_TIMEWAIT_EXIT";
    case EventType::addrinfo_resolved: return "RDMA_CM_EVENT_ADDRINFO_RESOLVED";
    case EventType::addrinfo_error: return "RDMA_CM_EVENT_ADDRINFO_ERROR";
    case EventType::user: return "RDMA_CM_EVENT_USER";
    case EventType::internal: return "RDMA_CM_EVENT_INTERNAL";
  }
  return "UNKNOWN EVENT";
}

}  // namespace hawser::cma
