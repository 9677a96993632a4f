// SPDX-License-Identifier: Apache-2.0
// The present state of one store as clients receive it: segments for those that start from nothing,
// a log of deltas for the others. Fed by the upstream, read by the fan-out; both on one loop. Pure.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/types.h"
#include "datastore/store.h"
#include "typha/delta_log.h"
#include "typha/segments.h"

namespace margay::typha {

struct Snapshot {  // immutable, shared by the clients that are being sent it
  std::vector<Body> bodies;
  Revision revision;
  std::uint64_t next_delta = 0;  // where the log goes on
  std::size_t bytes = 0;
};

class Cache {
 public:
  explicit Cache(std::size_t log_bytes) : log_(log_bytes) {}

  // The store's whole content. The first time, and when the store is another one, it replaces what
  // is here and clients need a new snapshot; otherwise the difference becomes deltas. Consumes the
  // values.
  void load(datastore::Listing listing);
  // Changes since the listing; or before it, which only fill the log (begin_history).
  void apply(const std::vector<datastore::Event>& events, Revision upto,
             Clock::time_point committed = {});
  // What follows up to the loaded revision is history from `oldest`, for clients that resume.
  void begin_history(Revision oldest);

  [[nodiscard]] bool ready() const { return loaded_ && !history_; }
  [[nodiscard]] Revision revision() const { return revision_; }
  [[nodiscard]] const std::string& store_id() const { return store_id_; }
  [[nodiscard]] const DeltaLog& log() const { return log_; }
  // At `at_least` or later, which must not be beyond revision().
  [[nodiscard]] std::shared_ptr<const Snapshot> snapshot(Revision at_least = Revision(0));
  [[nodiscard]] std::size_t bytes() const { return segments_.bytes(); }
  [[nodiscard]] std::size_t keys() const { return keys_; }
  [[nodiscard]] std::uint64_t snapshots_built() const { return built_; }

 private:
  void replace(datastore::Listing& listing);
  [[nodiscard]] std::vector<datastore::Event> difference(datastore::Listing& listing);
  void set(const datastore::Event& event);

  Segments segments_;
  DeltaLog log_;
  std::string store_id_;
  Revision revision_;
  bool loaded_ = false;
  bool history_ = false;
  std::size_t keys_ = 0;  // as of the last load
  std::uint64_t built_ = 0;
  std::shared_ptr<const Snapshot> latest_;
};

}  // namespace margay::typha
