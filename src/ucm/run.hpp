// How a command enters the connection manager: for the sources of Manager only.
#pragma once

#include "ucm/context.hpp"
#include "ucm/manager.hpp"

namespace hawser::ucm {

template <class Call>
auto Manager::run(File& file, Handle id, bool needs_device, Call&& call)
    -> std::invoke_result_t<Call, Context&, cma::Id&> {
  auto context = table_.get(file, id);
  if (!context) return fail(context.error());
  rt::Lock lock((*context)->mutex);
  cma::Id& target = *(*context)->id;
  if (needs_device && target.route().device == nullptr) return fail(EINVAL);
  return call(**context, target);
}

}  // namespace hawser::ucm
