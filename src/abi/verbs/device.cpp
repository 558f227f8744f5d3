// Devices and contexts: ibv_get_device_list … ibv_query_*.
#include <arpa/inet.h>
#include <endian.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "abi/verbs/objects.hpp"
#include "verbs/limits.hpp"

using namespace hawser;
using namespace hawser::abi;
namespace limits = hawser::verbs::limits;

namespace {

constexpr std::string_view board_id = "hawser";

__be64 wire_guid(Guid guid) { return htobe64(guid.value); }

ibv_gid public_gid(const Gid& gid) {
  ibv_gid out{};
  std::ranges::copy(gid.bytes, out.raw);
  return out;
}

std::unique_ptr<ContextShell> make_context(stack::Stack& stack, DeviceShell* device, verbs::DevicePtr of) {
  auto context = verbs::Context::create(stack.world(), stack.devices(), stack.data_path(), std::move(of));
  if (!context) {
    errno = errno_of(context);
    return nullptr;
  }
  auto shell = std::make_unique<ContextShell>();
  shell->device = device;
  shell->stack = &stack;
  shell->context = std::move(*context);
  verbs_context& pub = shell->pub;
  set_context_operations(pub);
  set_completion_operations(pub);
  set_queue_pair_operations(pub);
  set_work_request_operations(pub);
  set_shared_receive_operations(pub);
  pub.sz = sizeof pub;
  pub.context.device = &device->pub;
  pub.context.cmd_fd = -1;
  pub.context.async_fd = shell->context->events().fd().fd();
  pub.context.num_comp_vectors = 1;
  pub.context.abi_compat = __VERBS_ABI_IS_EXTENDED;
  pthread_mutex_init(&pub.context.mutex, nullptr);
  return shell;
}

void fill_device_attributes(const ContextShell& shell, ibv_device_attr& a) {
  a = {};
  strncpy(a.fw_ver, HAWSER_VERSION, sizeof a.fw_ver - 1);
  a.node_guid = a.sys_image_guid = wire_guid(shell.context->device()->guid());
  a.max_mr_size = ~std::uint64_t{0} >> 1;
  a.page_size_cap = ~std::uint64_t{0xFFF};
  a.device_cap_flags = IBV_DEVICE_CURR_QP_STATE_MOD | IBV_DEVICE_PORT_ACTIVE_EVENT | IBV_DEVICE_SYS_IMAGE_GUID |
                       IBV_DEVICE_RC_RNR_NAK_GEN | IBV_DEVICE_SRQ_RESIZE;
  a.max_qp = limits::qp_max;
  a.max_qp_wr = limits::qp_wr_max;
  a.max_sge = a.max_sge_rd = limits::sge_max;
  a.max_cq = limits::cq_max;
  a.max_cqe = limits::cqe_max;
  a.max_mr = limits::mr_max;
  a.max_pd = limits::pd_max;
  a.max_qp_rd_atom = a.max_qp_init_rd_atom = limits::rd_atomic_max;
  a.max_res_rd_atom = limits::rd_atomic_max * limits::qp_max;
  a.max_srq = limits::srq_max;
  a.max_srq_wr = limits::qp_wr_max;
  a.max_srq_sge = limits::sge_max;
  a.max_ah = limits::ah_max;
  a.max_mcast_grp = limits::multicast_groups_max;
  a.max_mcast_qp_attach = limits::qp_max;
  a.max_total_mcast_qp_attach = limits::multicast_groups_max * limits::qp_max;
  a.atomic_cap = IBV_ATOMIC_HCA;
  a.max_pkeys = 1;
  a.local_ca_ack_delay = 15;  // 4.096 µs · 2^15: a process that is not scheduled for a moment
  a.phys_port_cnt = 1;
}

int fill_port_attributes(const ContextShell& shell, unsigned port, ibv_port_attr& a) {
  if (port != 1) return EINVAL;
  const verbs::Device& device = *shell.context->device();
  const bool active = device.port_state() == verbs::PortState::active;
  a = {};
  a.state = active ? IBV_PORT_ACTIVE : IBV_PORT_DOWN;
  a.max_mtu = IBV_MTU_4096;
  a.active_mtu = static_cast<ibv_mtu>(device.active_mtu());
  a.gid_tbl_len = limits::gid_table_entries;
  a.port_cap_flags = IBV_PORT_CM_SUP | IBV_PORT_IP_BASED_GIDS;
  a.max_msg_sz = limits::message_bytes_max;
  a.pkey_tbl_len = 1;
  a.max_vl_num = 1;
  a.active_width = 1;  // 1X
  a.active_speed = 4;  // 10 Gb/s: an interface's real speed is unknown here
  constexpr std::uint8_t link_up = 5, disabled = 3;
  a.phys_state = active ? link_up : disabled;
  a.link_layer = IBV_LINK_LAYER_ETHERNET;
  a.flags = IBV_QPF_GRH_REQUIRED;
  return 0;
}

int query_port(ibv_context* context, std::uint8_t port, ibv_port_attr* attributes, std::size_t bytes) {
  const ContextShell* shell = find_context(context);
  if (shell == nullptr) return EINVAL;
  ibv_port_attr full{};
  if (const int error = fill_port_attributes(*shell, port, full); error != 0) return error;
  std::memset(attributes, 0, bytes);
  std::memcpy(attributes, &full, std::min(bytes, sizeof full));
  return 0;
}

int query_device_ex(ibv_context* context, const ibv_query_device_ex_input* input, ibv_device_attr_ex* attributes,
                    std::size_t bytes) {
  const ContextShell* shell = find_context(context);
  if (shell == nullptr || bytes < sizeof attributes->orig_attr) return EINVAL;
  if (input != nullptr && input->comp_mask != 0) return EINVAL;
  ibv_device_attr_ex full{};
  fill_device_attributes(*shell, full.orig_attr);
  full.device_cap_flags_ex = full.orig_attr.device_cap_flags;
  full.phys_port_cnt_ex = 1;
  std::memset(attributes, 0, bytes);
  std::memcpy(attributes, &full, std::min(bytes, sizeof full));
  return 0;
}

ibv_gid_entry public_entry(const verbs::Device& device, const verbs::GidEntry& entry) {
  return {.gid = public_gid(entry.gid),
          .gid_index = entry.index,
          .port_num = 1,
          .gid_type = IBV_GID_TYPE_ROCE_V2,
          .ndev_ifindex = device.interface_index()};
}

// 0, EINVAL (no such port or index), ENODATA (nothing at this index).
int find_gid(const ContextShell& shell, std::uint32_t port, std::uint32_t index, ibv_gid_entry& out) {
  if (port != 1 || index >= limits::gid_table_entries) return EINVAL;
  const auto gid = shell.context->device()->gid(index);
  if (!gid) return ENODATA;
  out = public_entry(*shell.context->device(), {.index = index, .gid = *gid});
  return 0;
}

// What the kernel would have in /sys/class/infiniband/<device>; nullopt for files that we know nothing of.
std::optional<std::string> sysfs_file(const DeviceShell& device, std::string_view file) {
  if (file == "board_id") return std::string(board_id);
  if (file == "fw_ver") return HAWSER_VERSION;
  if (file == "node_type") return "1: CA";
  if (file == "node_guid" || file == "sys_image_guid") {
    const std::uint64_t g = device.guid.value;
    return fmt::format("{:04x}:{:04x}:{:04x}:{:04x}", g >> 48, g >> 32 & 0xFFFF, g >> 16 & 0xFFFF, g & 0xFFFF);
  }
  if (file.starts_with("ports/1/gid_attrs/types/")) return "RoCE v2";
  if (file.starts_with("ports/1/gid_attrs/ndevs/")) return std::string(device.pub.name).substr(3);  // without "hw_"
  return std::nullopt;
}

int read_file(const std::string& path, char* buffer, std::size_t bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const ssize_t got = read(fd, buffer, bytes);
  close(fd);
  if (got > 0 && buffer[got - 1] == '\n') buffer[got - 1] = 0;
  return static_cast<int>(got > 0 && buffer[got - 1] == 0 ? got - 1 : got);
}

}  // namespace

void hawser::abi::set_context_operations(verbs_context& v) {
  fill_not_offered(v.advise_mr);
  fill_not_offered(v.alloc_null_mr);
  fill_not_offered(v.read_counters);
  fill_not_offered(v.attach_counters_point_flow);
  fill_not_offered(v.create_counters);
  fill_not_offered(v.destroy_counters);
  fill_not_offered(v.reg_dm_mr);
  fill_not_offered(v.alloc_dm);
  fill_not_offered(v.free_dm);
  fill_not_offered(v.modify_flow_action_esp);
  fill_not_offered(v.destroy_flow_action);
  fill_not_offered(v.create_flow_action_esp);
  fill_not_offered(v.modify_qp_rate_limit);
  fill_not_offered(v.alloc_parent_domain);
  fill_not_offered(v.dealloc_td);
  fill_not_offered(v.alloc_td);
  fill_not_offered(v.modify_cq);
  fill_not_offered(v.post_srq_ops);
  fill_not_offered(v.destroy_rwq_ind_table);
  fill_not_offered(v.create_rwq_ind_table);
  fill_not_offered(v.destroy_wq);
  fill_not_offered(v.modify_wq);
  fill_not_offered(v.create_wq);
  fill_not_offered(v.query_rt_values);
  fill_not_offered(v.ibv_destroy_flow);
  fill_not_offered(v.ABI_placeholder2);
  fill_not_offered(v.ibv_create_flow);
  fill_not_offered(v.ABI_placeholder1);
  fill_not_offered(v.open_qp);
  fill_not_offered(v.get_srq_num);
  fill_not_offered(v.create_srq_ex);
  fill_not_offered(v.open_xrcd);
  fill_not_offered(v.close_xrcd);
  v.query_port = query_port;
  v.query_device_ex = query_device_ex;

  ibv_context_ops& ops = v.context.ops;
  ops._compat_query_device = ibv_query_device;
  ops._compat_query_port = ibv_query_port;
  for (auto* slot :
       {&ops._compat_alloc_pd,     &ops._compat_dealloc_pd, &ops._compat_reg_mr,     &ops._compat_rereg_mr,
        &ops._compat_dereg_mr,     &ops._compat_create_cq,  &ops._compat_cq_event,   &ops._compat_resize_cq,
        &ops._compat_destroy_cq,   &ops._compat_create_srq, &ops._compat_modify_srq, &ops._compat_query_srq,
        &ops._compat_destroy_srq,  &ops._compat_create_qp,  &ops._compat_query_qp,   &ops._compat_modify_qp,
        &ops._compat_destroy_qp,   &ops._compat_create_ah,  &ops._compat_destroy_ah, &ops._compat_attach_mcast,
        &ops._compat_detach_mcast, &ops._compat_async_event}) {
    fill_not_offered(*slot);
  }
  fill_not_offered(ops.alloc_mw);
  fill_not_offered(ops.bind_mw);
  fill_not_offered(ops.dealloc_mw);
}

extern "C" {

ibv_device** ibv_get_device_list(int* count) {
  if (count != nullptr) *count = 0;
  const auto stack = stack::process_stack();
  if (!stack) return refuse(errno_of(stack));
  const std::vector<verbs::DevicePtr> devices = (*stack)->devices().list();
  auto** list = static_cast<ibv_device**>(calloc(devices.size() + 1, sizeof(ibv_device*)));
  if (list == nullptr) return refuse(ENOMEM);
  std::ranges::transform(devices, list, [](const verbs::DevicePtr& device) {
    return &Tables::instance().device(device->name(), device->guid())->pub;
  });
  if (count != nullptr) *count = static_cast<int>(devices.size());
  return list;
}

void ibv_free_device_list(ibv_device** list) { free(static_cast<void*>(list)); }

const char* ibv_get_device_name(ibv_device* device) { return device->name; }

int ibv_get_device_index(ibv_device* device) {
  const DeviceShell* shell = Tables::instance().find_device(device);
  return shell == nullptr ? -1 : shell->index;
}

__be64 ibv_get_device_guid(ibv_device* device) {
  const DeviceShell* shell = Tables::instance().find_device(device);
  return shell == nullptr ? 0 : wire_guid(shell->guid);
}

ibv_context* ibv_open_device(ibv_device* device) {
  DeviceShell* shell = Tables::instance().find_device(device);
  if (shell == nullptr) return refuse(ENODEV);
  const auto stack = stack::process_stack();
  if (!stack) return refuse(errno_of(stack));
  const verbs::DevicePtr found = (*stack)->devices().find(shell->pub.name);
  if (!found) return refuse(ENODEV);
  if (ContextShell* open = Tables::instance().reopen(found)) return &open->pub.context;
  std::unique_ptr<ContextShell> made = make_context(**stack, shell, found);
  if (!made) return nullptr;
  return &Tables::instance().publish(made)->pub.context;
}

int ibv_close_device(ibv_context* context) {
  ContextShell* shell = find_context(context);
  bool last = false;
  if (shell == nullptr || !Tables::instance().close(shell, last)) {
    errno = EINVAL;
    return -1;
  }
  if (last) shell->context->events().reset();
  return 0;
}

int ibv_query_device(ibv_context* context, ibv_device_attr* attributes) {
  const ContextShell* shell = find_context(context);
  if (shell == nullptr) return EINVAL;
  fill_device_attributes(*shell, *attributes);
  return 0;
}

// The struct of old programs: the newer one without its tail.
int ibv_query_port(ibv_context* context, std::uint8_t port, _compat_ibv_port_attr* attributes) {
  return query_port(context, port, reinterpret_cast<ibv_port_attr*>(attributes),
                    offsetof(ibv_port_attr, port_cap_flags2));
}

int ibv_query_gid(ibv_context* context, std::uint8_t port, int index, ibv_gid* gid) {
  const ContextShell* shell = find_context(context);
  ibv_gid_entry entry{};
  int error = shell == nullptr || index < 0 ? EINVAL : find_gid(*shell, port, static_cast<std::uint32_t>(index), entry);
  if (error == ENODATA) error = 0;  // an empty entry reads as zeros
  if (error != 0) {
    errno = error;
    return -1;
  }
  *gid = entry.gid;
  return 0;
}

int _ibv_query_gid_ex(ibv_context* context, std::uint32_t port, std::uint32_t index, ibv_gid_entry* out,
                      std::uint32_t flags, std::size_t bytes) {
  const ContextShell* shell = find_context(context);
  if (shell == nullptr) return EINVAL;
  if (flags != 0) return EOPNOTSUPP;
  ibv_gid_entry entry{};
  if (const int error = find_gid(*shell, port, index, entry); error != 0) return error;
  std::memset(out, 0, bytes);
  std::memcpy(out, &entry, std::min(bytes, sizeof entry));
  return 0;
}

ssize_t _ibv_query_gid_table(ibv_context* context, ibv_gid_entry* entries, std::size_t entries_max, std::uint32_t flags,
                             std::size_t bytes) {
  const ContextShell* shell = find_context(context);
  if (shell == nullptr) return -EINVAL;
  if (flags != 0) return -EOPNOTSUPP;
  auto* out = reinterpret_cast<char*>(entries);
  std::size_t count = 0;
  for (const verbs::GidEntry& gid : shell->context->device()->gids()) {
    if (count == entries_max) return -EINVAL;
    const ibv_gid_entry entry = public_entry(*shell->context->device(), gid);
    std::memset(out, 0, bytes);
    std::memcpy(out, &entry, std::min(bytes, sizeof entry));
    out += bytes;
    ++count;
  }
  return static_cast<ssize_t>(count);
}

// enum ibv_gid_type_sysfs of the private header: 0 = IB or RoCE v1, 1 = RoCE v2.
int ibv_query_gid_type(ibv_context* context, std::uint8_t port, unsigned index, int* type) {
  if (find_context(context) == nullptr || port != 1 || index >= limits::gid_table_entries) {
    errno = EINVAL;
    return -1;
  }
  *type = 1;
  return 0;
}

int ibv_query_pkey(ibv_context* context, std::uint8_t port, int index, __be16* pkey) {
  if (find_context(context) == nullptr || port != 1 || index != 0) {
    errno = EINVAL;
    return -1;
  }
  *pkey = htons(pkey_default.value);
  return 0;
}

int ibv_get_pkey_index(ibv_context* context, std::uint8_t port, __be16 pkey) {
  if (find_context(context) == nullptr || port != 1 || pkey != htons(pkey_default.value)) {
    errno = EINVAL;
    return -1;
  }
  return 0;
}

const char* ibv_get_sysfs_path(void) { return "/sys"; }

int ibv_read_sysfs_file(const char* directory, const char* file, char* buffer, std::size_t bytes) {
  constexpr std::string_view prefix = "/sys/class/infiniband/";
  const std::string_view path = directory;
  if (path.starts_with(prefix)) {
    const auto stack = stack::process_stack();
    const auto device = stack ? (*stack)->devices().find(std::string(path.substr(prefix.size()))) : nullptr;
    if (device) {
      const auto text = sysfs_file(*Tables::instance().device(device->name(), device->guid()), file);
      if (!text || text->size() >= bytes) {
        errno = text ? ENOSPC : ENOENT;
        return -1;
      }
      std::memcpy(buffer, text->c_str(), text->size() + 1);
      return static_cast<int>(text->size());
    }
  }
  return read_file(std::string(path) + "/" + file, buffer, bytes);
}

}  // extern "C"
