// Protection domains and memory regions.
#include "abi/verbs/objects.hpp"
#include "verbs/limits.hpp"

using namespace hawser;
using namespace hawser::abi;

namespace {

ibv_mr* register_region(ibv_pd* pd, void* address, std::size_t length, std::uint64_t iova, unsigned access) {
  PdShell* domain = find<PdShell>(pd);
  if (domain == nullptr) return refuse(EINVAL);
  if ((access & IBV_ACCESS_ZERO_BASED) != 0) iova = 0;
  const auto region = domain->context->context->memory().add(domain->pd, address, length, iova, access);
  if (!region) return refuse(errno_of(region));
  auto* shell = Tables::instance().make<MrShell>();
  shell->context = domain->context;
  shell->region = *region;
  shell->pub.context = &domain->context->pub.context;
  shell->pub.pd = pd;
  shell->pub.addr = address;
  shell->pub.length = length;
  shell->pub.lkey = (*region)->lkey.value;
  shell->pub.rkey = (*region)->rkey.value;
  return &shell->pub;
}

}  // namespace

extern "C" {

ibv_pd* ibv_alloc_pd(ibv_context* context) {
  ContextShell* device = find_context(context);
  if (device == nullptr) return refuse(EINVAL);
  if (device->context->device()->gone()) return refuse(EIO);
  if (++device->context->pds > verbs::limits::pd_max) {
    --device->context->pds;
    return refuse(ENOMEM);
  }
  auto* shell = Tables::instance().make<PdShell>();
  shell->context = device;
  shell->pd = std::make_shared<verbs::Pd>();
  shell->pub.context = context;
  return &shell->pub;
}

int ibv_dealloc_pd(ibv_pd* pd) {
  PdShell* shell = find<PdShell>(pd);
  if (shell == nullptr) return ENOENT;
  if (shell->pd->users.load() > 0) return EBUSY;
  --shell->context->context->pds;
  Tables::instance().unmake(shell);
  return 0;
}

ibv_mr* ibv_reg_mr(ibv_pd* pd, void* address, std::size_t length, int access) {
  return register_region(pd, address, length, reinterpret_cast<std::uintptr_t>(address), static_cast<unsigned>(access));
}

ibv_mr* ibv_reg_mr_iova(ibv_pd* pd, void* address, std::size_t length, std::uint64_t iova, int access) {
  return register_region(pd, address, length, iova, static_cast<unsigned>(access));
}

ibv_mr* ibv_reg_mr_iova2(ibv_pd* pd, void* address, std::size_t length, std::uint64_t iova, unsigned access) {
  return register_region(pd, address, length, iova, access);
}

int ibv_dereg_mr(ibv_mr* mr) {
  MrShell* shell = find<MrShell>(mr);
  if (shell == nullptr) return ENOENT;
  shell->context->context->memory().remove(shell->region);
  Tables::instance().unmake(shell);
  return 0;
}

// No page is pinned, and a child's copies are its own: nothing has to be kept from fork().
int ibv_fork_init(void) { return 0; }
ibv_fork_status ibv_is_fork_initialized(void) { return IBV_FORK_UNNEEDED; }
int ibv_dontfork_range(void*, std::size_t) { return 0; }
int ibv_dofork_range(void*, std::size_t) { return 0; }

}  // extern "C"
