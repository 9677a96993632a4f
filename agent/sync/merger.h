// SPDX-License-Identifier: Apache-2.0
// What stands between a source and the receiver: leaves out what the receiver has already, and
// makes up the deletes that were missed when a new snapshot does not have a key any more. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/sync/key_table.h"
#include "agent/sync/source.h"

namespace margay::sync {

class Merger {
 public:
  // A snapshot of the store with this id begins; one that was cut short is forgotten.
  void begin_snapshot(std::string store_id);
  // Removes from `updates` what the receiver has; deletes of unknown keys among them. Marks those
  // of known keys.
  void filter(std::vector<Update>& updates);
  // The snapshot is complete: deletes of the keys that were not in it.
  [[nodiscard]] std::vector<Update> end_snapshot(Revision revision);

  [[nodiscard]] const std::string& store_id() const { return store_id_; }  // of what is complete
  [[nodiscard]] std::size_t keys() const { return keys_.size(); }
  [[nodiscard]] std::size_t memory() const { return keys_.memory(); }

 private:
  [[nodiscard]] bool news(Update& u);
  KeyTable keys_;
  std::string store_id_;
  std::string next_id_;
  bool comparable_ = true;  // revisions remembered and arriving are of the same store
};

}  // namespace margay::sync
