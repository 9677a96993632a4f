// SPDX-License-Identifier: Apache-2.0
// What a Source has told, as a test sees it: the state that results, and the notes on the way.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/sync/source.h"

namespace margay::sync {

struct Receiver {
  std::map<std::string, std::string> state;
  std::vector<std::string> notes;  // "+key", "-key", "in-sync", "connected", "lost"
  std::size_t largest_batch = 0;
  std::size_t updates = 0;
  int in_syncs = 0;
  Status status;
  bool connected = false;

  [[nodiscard]] Callbacks callbacks() {
    return {[this](std::vector<Update>&& batch) {
              largest_batch = std::max(largest_batch, batch.size());
              updates += batch.size();
              for (auto& u : batch) {
                notes.push_back((u.deleted ? "-" : "+") + u.key);
                if (u.deleted) {
                  state.erase(u.key);
                } else {
                  state[u.key] = std::move(u.value);
                }
              }
            },
            [this] {
              ++in_syncs;
              notes.emplace_back("in-sync");
            },
            [this](const Status& s) {
              if (s.connected != connected) notes.emplace_back(s.connected ? "connected" : "lost");
              connected = s.connected;
              status = s;
            }};
  }
};

}  // namespace margay::sync
