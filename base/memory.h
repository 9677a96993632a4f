// SPDX-License-Identifier: Apache-2.0
// What a process keeps resident. Start-up and the first view need memory that nothing after them
// does; a daemon gives it back. Any thread.
#pragma once

namespace margay::memory {

// Before any other thread: one heap for all, and large buffers straight from the system, so that
// what one thread frees serves the others or goes back.
void share_one_heap();

// Free heap pages go back to the system.
void give_back_heap();

// Code pages leave this process's memory (they stay in the page cache): what start-up ran, and what
// the kernel mapped around it. A page that is run again costs a minor fault.
void give_back_code();

}  // namespace margay::memory
