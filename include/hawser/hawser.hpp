// All of Hawser's C++ interface. docs/cxx-api.md is the guide, examples/ shows it at work.
#pragma once

#include "hawser/channel.hpp"
#include "hawser/faults.hpp"
#include "hawser/listener.hpp"
#include "hawser/simulation.hpp"
#include "hawser/stack.hpp"
