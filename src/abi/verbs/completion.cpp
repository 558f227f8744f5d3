// Completion channels and queues, asynchronous events.
#include "abi/verbs/objects.hpp"
#include "verbs/limits.hpp"

using namespace hawser;
using namespace hawser::abi;

namespace {

CqShell* shell_of(verbs::AsyncSource& cq) { return static_cast<CqShell*>(cq.owner()); }

void fill(const verbs::CqEntry& entry, ibv_wc& out) {
  const roce::Completion& c = entry.completion;
  out = {};
  out.wr_id = c.wr_id;
  out.status = static_cast<ibv_wc_status>(c.status);
  out.opcode = static_cast<ibv_wc_opcode>(c.opcode);
  out.vendor_err = c.vendor_err;
  out.byte_len = c.byte_len;
  out.qp_num = entry.qpn.value;
  out.src_qp = c.source.value;
  if (c.with_network_header) out.wc_flags |= IBV_WC_GRH;
  if (c.with_imm) {
    out.wc_flags |= IBV_WC_WITH_IMM;
    out.imm_data = c.imm_data;
  } else if (c.with_inv) {
    out.wc_flags |= IBV_WC_WITH_INV;
    out.invalidated_rkey = c.invalidated_rkey.value;
  }
}

// Looks at the ring first; only when it is empty it does the work of receiving, and looks again.
template <class Visit>
int poll(CqShell& shell, int max, Visit&& visit) {
  if (const int count = shell.cq->poll(max, visit); count > 0) return count;
  shell.context->engine().progress();
  return shell.cq->poll(max, visit);
}

int poll_cq(ibv_cq* cq, int max, ibv_wc* out) {
  auto* shell = live<CqShell>(cq);
  if (shell == nullptr || max < 0) return -EINVAL;
  return poll(*shell, max, [&](const verbs::CqEntry& entry) { fill(entry, *out++); });
}

int req_notify_cq(ibv_cq* cq, int solicited_only) {
  auto* shell = live<CqShell>(cq);
  if (shell == nullptr) return EINVAL;
  shell->cq->request_notification(solicited_only != 0);
  shell->context->engine().ensure_service();
  return 0;
}

// The extended queue: one completion at a time, read field by field.
int next_poll(ibv_cq_ex* cq) {
  auto* shell = live<CqShell>(cq);
  if (shell == nullptr) return EINVAL;
  if (shell->cq->poll(1, [&](const verbs::CqEntry& entry) { shell->current = entry; }) == 0) return ENOENT;
  shell->pub.wr_id = shell->current.completion.wr_id;
  shell->pub.status = static_cast<ibv_wc_status>(shell->current.completion.status);
  return 0;
}

int start_poll(ibv_cq_ex* cq, ibv_poll_cq_attr* attributes) {
  if (attributes != nullptr && attributes->comp_mask != 0) return EINVAL;
  auto* shell = live<CqShell>(cq);
  if (shell == nullptr) return EINVAL;
  const int result = next_poll(cq);
  if (result != ENOENT) return result;
  shell->context->engine().progress();
  return next_poll(cq);
}

const roce::Completion& current(ibv_cq_ex* cq) { return reinterpret_cast<CqShell*>(cq)->current.completion; }

void set_readers(ibv_cq_ex& cq) {
  cq.start_poll = start_poll;
  cq.next_poll = next_poll;
  cq.end_poll = [](ibv_cq_ex*) {};
  cq.read_opcode = [](ibv_cq_ex* q) { return static_cast<ibv_wc_opcode>(current(q).opcode); };
  cq.read_vendor_err = [](ibv_cq_ex* q) { return current(q).vendor_err; };
  cq.read_byte_len = [](ibv_cq_ex* q) { return current(q).byte_len; };
  cq.read_imm_data = [](ibv_cq_ex* q) -> __be32 {
    return current(q).with_inv ? current(q).invalidated_rkey.value : current(q).imm_data;
  };
  cq.read_qp_num = [](ibv_cq_ex* q) { return reinterpret_cast<CqShell*>(q)->current.qpn.value; };
  cq.read_src_qp = [](ibv_cq_ex* q) { return current(q).source.value; };
  cq.read_wc_flags = [](ibv_cq_ex* q) -> unsigned {
    return (current(q).with_imm ? unsigned{IBV_WC_WITH_IMM} : 0U) |
           (current(q).with_inv ? unsigned{IBV_WC_WITH_INV} : 0U) |
           (current(q).with_network_header ? unsigned{IBV_WC_GRH} : 0U);
  };
  cq.read_slid = [](ibv_cq_ex*) { return 0U; };
  cq.read_sl = [](ibv_cq_ex*) { return std::uint8_t{0}; };
  cq.read_dlid_path_bits = [](ibv_cq_ex*) { return std::uint8_t{0}; };
}

CqShell* create_cq(ibv_context* context, std::uint32_t entries, void* user, ibv_comp_channel* channel, int vector) {
  ContextShell* device = find_context(context);
  ChannelShell* notify = channel == nullptr ? nullptr : find<ChannelShell>(channel);
  if (device == nullptr || (channel != nullptr && (notify == nullptr || notify->context != device)))
    return refuse(EINVAL);
  if (entries == 0 || entries > verbs::limits::cqe_max || vector < 0 || vector >= context->num_comp_vectors) {
    return refuse(EINVAL);
  }
  if (device->context->device()->gone()) return refuse(EIO);
  if (++device->context->cqs > verbs::limits::cq_max) {
    --device->context->cqs;
    return refuse(ENOMEM);
  }
  auto* shell = Tables::instance().make<CqShell>();
  shell->context = device;
  shell->cq =
      std::make_shared<verbs::Cq>(device->context->events(), notify == nullptr ? nullptr : notify->channel, entries);
  shell->cq->set_owner(shell);
  ibv_cq_ex& pub = shell->pub;
  pub.context = context;
  pub.channel = channel;
  pub.cq_context = user;
  pub.cqe = static_cast<int>(entries);
  pthread_mutex_init(&pub.mutex, nullptr);
  pthread_cond_init(&pub.cond, nullptr);
  if (channel != nullptr) __atomic_add_fetch(&channel->refcnt, 1, __ATOMIC_RELAXED);
  return shell;
}

ibv_cq_ex* create_cq_ex(ibv_context* context, ibv_cq_init_attr_ex* attributes) {
  constexpr std::uint32_t known_mask = IBV_CQ_INIT_ATTR_MASK_FLAGS;
  constexpr std::uint32_t known_flags = IBV_CREATE_CQ_ATTR_SINGLE_THREADED;
  const bool has_flags = (attributes->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS) != 0;
  if ((attributes->comp_mask & ~known_mask) != 0 || (has_flags && (attributes->flags & ~known_flags) != 0) ||
      (attributes->wc_flags & ~std::uint64_t{IBV_WC_STANDARD_FLAGS}) != 0) {
    return refuse(EOPNOTSUPP);
  }
  CqShell* shell = create_cq(context, attributes->cqe, attributes->cq_context, attributes->channel,
                             static_cast<int>(attributes->comp_vector));
  if (shell == nullptr) return nullptr;
  set_readers(shell->pub);
  return &shell->pub;
}

// Blocks until `take` has something, unless the program made the descriptor non-blocking. -1 and errno on failure.
template <class Take>
auto wait_for(ContextShell& context, const verbs::EventFd& fd, const std::function<bool()>& pending, Take&& take)
    -> decltype(take()) {
  for (;;) {
    if (auto taken = take()) return taken;
    if (fd.non_blocking()) {
      context.engine().progress();  // what has arrived may be the event
      if (auto taken = take()) return taken;
      errno = EAGAIN;
      return {};
    }
    if (const Status status = context.engine().wait(stack::WaitKind::completions, fd.fd(), pending); !status) {
      errno = errno_of(status);
      return {};
    }
  }
}

}  // namespace

void hawser::abi::set_completion_operations(verbs_context& context) {
  context.create_cq_ex = create_cq_ex;
  context.context.ops.poll_cq = poll_cq;
  context.context.ops.req_notify_cq = req_notify_cq;
}

extern "C" {

ibv_comp_channel* ibv_create_comp_channel(ibv_context* context) {
  ContextShell* device = find_context(context);
  if (device == nullptr) return refuse(EINVAL);
  auto channel = verbs::CompChannel::create();
  if (!channel) return refuse(errno_of(channel));
  auto* shell = Tables::instance().make<ChannelShell>();
  shell->context = device;
  shell->channel = std::move(*channel);
  shell->pub.context = context;
  shell->pub.fd = shell->channel->fd().fd();
  return &shell->pub;
}

int ibv_destroy_comp_channel(ibv_comp_channel* channel) {
  ChannelShell* shell = find<ChannelShell>(channel);
  if (shell == nullptr) return ENOENT;
  if (shell->channel->users.load() > 0) return EBUSY;
  Tables::instance().unmake(shell);
  return 0;
}

ibv_cq* ibv_create_cq(ibv_context* context, int entries, void* user, ibv_comp_channel* channel, int vector) {
  CqShell* shell = create_cq(context, entries < 0 ? 0 : static_cast<std::uint32_t>(entries), user, channel, vector);
  return shell == nullptr ? nullptr : ibv_cq_ex_to_cq(&shell->pub);
}

int ibv_resize_cq(ibv_cq* cq, int entries) {
  CqShell* shell = find<CqShell>(cq);
  if (shell == nullptr) return ENOENT;
  if (entries <= 0 || static_cast<std::uint32_t>(entries) > verbs::limits::cqe_max) return EINVAL;
  const Status status = shell->cq->resize(static_cast<std::uint32_t>(entries));
  if (status) shell->pub.cqe = entries;
  return errno_of(status);
}

int ibv_destroy_cq(ibv_cq* cq) {
  CqShell* shell = find<CqShell>(cq);
  if (shell == nullptr) return ENOENT;
  if (const Status status = shell->cq->close(); !status) return errno_of(status);
  ibv_cq_ex& pub = shell->pub;
  if (shell->cq->channel() && pub.channel != nullptr) __atomic_sub_fetch(&pub.channel->refcnt, 1, __ATOMIC_RELAXED);
  --shell->context->context->cqs;
  Tables::instance().unmake(shell);
  return 0;
}

int ibv_get_cq_event(ibv_comp_channel* channel, ibv_cq** cq, void** user) {
  ChannelShell* shell = find<ChannelShell>(channel);
  if (shell == nullptr) {
    errno = EINVAL;
    return -1;
  }
  verbs::CompChannel& events = *shell->channel;
  verbs::Cq* taken =
      wait_for(*shell->context, events.fd(), [&] { return events.pending(); }, [&] { return events.take(); });
  if (taken == nullptr) return -1;
  CqShell* source = shell_of(*taken);
  *cq = ibv_cq_ex_to_cq(&source->pub);
  *user = source->pub.cq_context;
  return 0;
}

void ibv_ack_cq_events(ibv_cq* cq, unsigned count) {
  CqShell* shell = find<CqShell>(cq);
  if (shell != nullptr && shell->cq->channel()) shell->cq->channel()->acknowledge(*shell->cq, count);
}

int ibv_get_async_event(ibv_context* context, ibv_async_event* out) {
  ContextShell* shell = find_context(context);
  if (shell == nullptr) {
    errno = EINVAL;
    return -1;
  }
  verbs::AsyncEvents& events = shell->context->events();
  shell->engine().ensure_service();
  const auto event = wait_for(*shell, events.fd(), [&] { return events.pending(); }, [&] { return events.take(); });
  if (!event) return -1;
  *out = {};
  out->event_type = static_cast<ibv_event_type>(event->type);
  if (event->source == nullptr) {
    out->element.port_num = 1;
  } else if (event->type == verbs::AsyncEventType::cq_err) {
    out->element.cq = ibv_cq_ex_to_cq(&shell_of(*event->source)->pub);
  } else if (event->type == verbs::AsyncEventType::srq_limit_reached) {
    out->element.srq = &static_cast<SrqShell*>(event->source->owner())->pub;
  } else {
    out->element.qp = &static_cast<QpShell*>(event->source->owner())->pub.qp_base;
  }
  return 0;
}

void ibv_ack_async_event(ibv_async_event* event) {
  switch (event->event_type) {
    case IBV_EVENT_CQ_ERR:
      if (CqShell* shell = find<CqShell>(event->element.cq)) shell->context->context->events().acknowledge(*shell->cq);
      return;
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
    case IBV_EVENT_COMM_EST:
    case IBV_EVENT_SQ_DRAINED:
    case IBV_EVENT_QP_LAST_WQE_REACHED:
      if (QpShell* shell = find<QpShell>(event->element.qp)) shell->context->context->events().acknowledge(*shell->qp);
      return;
    case IBV_EVENT_SRQ_LIMIT_REACHED:
      if (SrqShell* shell = find<SrqShell>(event->element.srq)) {
        shell->context->context->events().acknowledge(*shell->srq);
      }
      return;
    default: return;  // of the port or the device: nobody waits for them
  }
}

}  // extern "C"
