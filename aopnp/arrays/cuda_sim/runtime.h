// The whole machine in one piece: it is compiled once, then linked into every simulated kernel.
#pragma once
#include "launch.h"

namespace cuda_sim {

Index thread_index() { return block.current->index; }
Index block_index() { return block.index; }
Index block_size() { return block.launch->block; }
Index grid_size() { return block.launch->grid; }
unsigned lane() { return block.current->number % 32; }
void* dynamic_shared() { return block.shared.data(); }

}  // namespace cuda_sim
